// The way back to the queries. With P = exp(q kᵀ scale - lse) and delta = Σ dy y of a row:
// dq = Σj P (dy·v - delta) k scale. Walks the keys as attention does; delta is kept for back_kv.
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<f32>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let g = head * p.kv / p.q;
    let row = group.x * ROWS + lane / SHARE;
    let own = lane % SHARE;
    let live = row < p.n;
    let mine = first[min(row, p.n - 1u)];
    var q: array<vec4f, OWN>;
    var dyr: array<vec4f, OWN>;
    var acc: array<vec4f, OWN>;
    var part = 0.0;
    var log_sum = 0.0;
    if (live) {
        let at = (row * p.q + head) * D;
        for (var d = 0u; d < OWN; d++) { q[d] = head4(query_at(row, head), own + d * SHARE) * p.scale; }
        for (var i = 0u; i < 4u * OWN; i++) {
            let d = 4u * (own + i / 4u * SHARE) + i % 4u;
            if (d < D) {
                let v = dy[at + d];
                dyr[i / 4u][i % 4u] = v;
                part += v * y[at + d];
            }
        }
        log_sum = lse[row * p.q + head];
    }
    let sum = across(vec2f(part, 0.0)).x;
    if (live && own == 0u) { delta[row * p.q + head] = sum; }
    let end = min(p.n, (group.x + 1u) * ROWS);
    for (var t0 = first[group.x * ROWS]; t0 < end; t0 += KEYS) {
        let count = min(KEYS, end - t0);
        for (var i = lane; i < count * D4; i += THREADS) {
            ta[i] = head4(key_at(t0 + i / D4, g), i % D4);
            tb[i] = head4(value_at(t0 + i / D4, g), i % D4);
        }
        workgroupBarrier();
        for (var j = 0u; j < count; j++) {
            let seen = live && t0 + j <= row && t0 + j >= mine;
            if (skip(seen)) { continue; }
            var parts = vec2f();                // of q·k and dy·v
            for (var d = 0u; d < OWN; d++) {
                let at = j * D4 + own + d * SHARE;
                parts += vec2f(dot(q[d], ta[at]), dot(dyr[d], tb[at]));
            }
            let s = across(parts);
            if (seen) {
                let ds = exp(s.x - log_sum) * (s.y - sum) * p.scale;
                for (var d = 0u; d < OWN; d++) { acc[d] += ds * ta[j * D4 + own + d * SHARE]; }
            }
        }
        workgroupBarrier();
    }
    if (live) {
        for (var i = 0u; i < 4u * OWN; i++) {
            let d = 4u * (own + i / 4u * SHARE) + i % 4u;
            if (d < D) { dqkv[query_at(row, head) + d] = acc[i / 4u][i % 4u]; }
        }
    }
}
