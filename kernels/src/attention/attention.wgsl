// y = softmax(q kᵀ · scale) v, and the log of the softmax's sum (lse [N, H]) for the way back.
// Who owns a query row walks the keys with a running maximum and sum (Dao et al. 2022).
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let g = head * p.kv / p.q;
    let row = group.x * ROWS + lane / SHARE;
    let own = lane % SHARE;
    let live = row < p.n;
    let mine = first[min(row, p.n - 1u)];
    var q: array<vec4f, OWN>;
    var acc: array<vec4f, OWN>;
    if (live) {
        for (var d = 0u; d < OWN; d++) { q[d] = head4(query_at(row, head), own + d * SHARE) * p.scale; }
    }
    var most = FAR;
    var sum = 0.0;
    let end = min(p.n, (group.x + 1u) * ROWS);  // causal: no row here sees a later key
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
            var part = 0.0;
            for (var d = 0u; d < OWN; d++) { part += dot(q[d], ta[j * D4 + own + d * SHARE]); }
            let s = across(vec2f(part, 0.0)).x;
            if (seen) {
                if (s > most) {
                    let shrink = exp(most - s);
                    sum *= shrink;
                    for (var d = 0u; d < OWN; d++) { acc[d] *= shrink; }
                    most = s;
                }
                let e = exp(s - most);
                sum += e;
                for (var d = 0u; d < OWN; d++) { acc[d] += e * tb[j * D4 + own + d * SHARE]; }
            }
        }
        workgroupBarrier();
    }
    if (live) {
        for (var i = 0u; i < 4u * OWN; i++) {
            let d = 4u * (own + i / 4u * SHARE) + i % 4u;
            if (d < D) { y[(row * p.q + head) * D + d] = acc[i / 4u][i % 4u] / sum; }
        }
        if (own == 0u) { lse[row * p.q + head] = most + log(sum); }
    }
}
