// y = softmax(q kᵀ · scale) v, and the log of the softmax's sum (lse [N, H]) for the way back.
// An invocation owns a query row and walks the keys with a running maximum and sum (Dao et al. 2022).
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let head = group.y;
    let g = head * p.kv / p.q;
    let row = group.x * ROWS + lane;
    let live = row < p.n;
    let mine = first[min(row, p.n - 1u)];
    var q: array<vec4f, D4>;
    var acc: array<vec4f, D4>;
    if (live) {
        for (var d = 0u; d < D4; d++) { q[d] = head4(query_at(row, head), d) * p.scale; }
    }
    var most = FAR;
    var sum = 0.0;
    let end = min(p.n, (group.x + 1u) * ROWS);  // causal: no row here sees a later key
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
                for (var d = 0u; d < D4; d++) { s += dot(q[d], ta[j * D4 + d]); }
                if (s > most) {
                    let shrink = exp(most - s);
                    sum *= shrink;
                    for (var d = 0u; d < D4; d++) { acc[d] *= shrink; }
                    most = s;
                }
                let e = exp(s - most);
                sum += e;
                for (var d = 0u; d < D4; d++) { acc[d] += e * tb[j * D4 + d]; }
            }
        }
        workgroupBarrier();
    }
    if (live) {
        for (var d = 0u; d < D; d++) { y[(row * p.q + head) * D + d] = acc[d / 4u][d % 4u] / sum; }
        lse[row * p.q + head] = most + log(sum);
    }
}
