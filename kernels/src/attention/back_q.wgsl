// The way back to the queries. With P = exp(q kᵀ scale - lse) and delta = Σ dy y of a row:
// dq = Σj P (dy·v - delta) k scale. An invocation owns a query row; delta is kept for back_kv.
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<f32>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let g = head * p.kv / p.q;
    let row = group.x * ROWS + lane;
    let live = row < p.n;
    let mine = first[min(row, p.n - 1u)];
    var q: array<vec4f, D4>;
    var dyr: array<vec4f, D4>;
    var acc: array<vec4f, D4>;
    var sum = 0.0;
    var log_sum = 0.0;
    if (live) {
        let at = (row * p.q + head) * D;
        for (var d = 0u; d < D4; d++) { q[d] = head4(query_at(row, head), d) * p.scale; }
        for (var d = 0u; d < D; d++) {
            let v = dy[at + d];
            dyr[d / 4u][d % 4u] = v;
            sum += v * y[at + d];
        }
        log_sum = lse[row * p.q + head];
        delta[row * p.q + head] = sum;
    }
    let end = min(p.n, (group.x + 1u) * ROWS);
    for (var t0 = first[group.x * ROWS]; t0 < end; t0 += KEYS) {
        let count = min(KEYS, end - t0);
        for (var i = lane; i < count * D4; i += ROWS) {
            ta[i] = head4(key_at(t0 + i / D4, g), i % D4);
            tb[i] = head4(value_at(t0 + i / D4, g), i % D4);
        }
        workgroupBarrier();
        for (var j = 0u; j < count; j++) {
            if (live && t0 + j <= row && t0 + j >= mine) {
                var s = 0.0;
                var dp = 0.0;
                for (var d = 0u; d < D4; d++) {
                    s += dot(q[d], ta[j * D4 + d]);
                    dp += dot(dyr[d], tb[j * D4 + d]);
                }
                let ds = exp(s - log_sum) * (dp - sum) * p.scale;
                for (var d = 0u; d < D4; d++) { acc[d] += ds * ta[j * D4 + d]; }
            }
        }
        workgroupBarrier();
    }
    if (live) {
        for (var d = 0u; d < D; d++) { dqkv[query_at(row, head) + d] = acc[d / 4u][d % 4u]; }
    }
}
