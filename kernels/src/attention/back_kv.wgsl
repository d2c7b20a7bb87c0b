// The way back to keys and values: dv = Σi P dy, dk = Σi P (dy·v - delta) q scale, over the queries i of
// every head that shares this key/value head. An invocation owns a key row and walks the queries: a sum
// of its own instead of atomics, so the result does not depend on the order of execution.
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<f32>;

fn dy4(at: u32, d: u32) -> vec4f {
    let i = at + 4u * d;
    if (D % 4u == 0u || 4u * d + 3u < D) { return vec4f(dy[i], dy[i + 1u], dy[i + 2u], dy[i + 3u]); }
    var v = vec4f(dy[i], 0.0, 0.0, 0.0);
    if (4u * d + 1u < D) { v.y = dy[i + 1u]; }
    if (4u * d + 2u < D) { v.z = dy[i + 2u]; }
    return v;
}

@compute @workgroup_size(ROWS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let g = group.y;
    let row = group.x * ROWS + lane;
    let live = row < p.n;
    var k: array<vec4f, D4>;
    var v: array<vec4f, D4>;
    var dk: array<vec4f, D4>;
    var dv: array<vec4f, D4>;
    if (live) {
        for (var d = 0u; d < D4; d++) {
            k[d] = head4(key_at(row, g), d) * p.scale;
            v[d] = head4(value_at(row, g), d);
        }
    }
    let share = p.q / p.kv;
    let end = min(p.n, (group.x + 1u) * ROWS);
    for (var head = g * share; head < (g + 1u) * share; head++) {
        for (var t0 = group.x * ROWS; t0 < p.n; t0 += KEYS) {
            if (first[t0] >= end) { break; }    // a later segment, or too far on: sees none of these keys
            let count = min(KEYS, p.n - t0);
            for (var i = lane; i < count * D4; i += ROWS) {
                ta[i] = head4(query_at(t0 + i / D4, head), i % D4);
                tb[i] = dy4(((t0 + i / D4) * p.q + head) * D, i % D4);
            }
            workgroupBarrier();
            for (var j = 0u; j < count; j++) {
                let query = t0 + j;
                if (live && row <= query && row >= first[query]) {
                    var s = 0.0;
                    var dp = 0.0;
                    for (var d = 0u; d < D4; d++) {
                        s += dot(k[d], ta[j * D4 + d]);
                        dp += dot(v[d], tb[j * D4 + d]);
                    }
                    let e = exp(s - lse[query * p.q + head]);
                    let ds = e * (dp - delta[query * p.q + head]) * p.scale;
                    for (var d = 0u; d < D4; d++) {
                        dv[d] += e * tb[j * D4 + d];
                        dk[d] += ds * ta[j * D4 + d];
                    }
                }
            }
            workgroupBarrier();
        }
    }
    if (live) {
        for (var d = 0u; d < D; d++) {
            dqkv[key_at(row, g) + d] = dk[d / 4u][d % 4u];
            dqkv[value_at(row, g) + d] = dv[d / 4u][d % 4u];
        }
    }
}
