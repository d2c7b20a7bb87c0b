// The way back to keys and values: dv = Σi P dy, dk = Σi P (dy·v - delta) q scale, over the queries i of
// every head that shares this key/value head. Who owns a key row walks the queries: a sum of its own instead
// of atomics, so the result does not depend on the order of execution.
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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let g = group.y;
    let row = group.x * ROWS + lane / SHARE;
    let own = lane % SHARE;
    let live = row < p.n;
    var k: array<vec4f, OWN>;
    var v: array<vec4f, OWN>;
    var dk: array<vec4f, OWN>;
    var dv: array<vec4f, OWN>;
    if (live) {
        for (var d = 0u; d < OWN; d++) {
            k[d] = head4(key_at(row, g), own + d * SHARE) * p.scale;
            v[d] = head4(value_at(row, g), own + d * SHARE);
        }
    }
    let share = p.q / p.kv;
    let end = min(p.n, (group.x + 1u) * ROWS);
    for (var head = g * share; head < (g + 1u) * share; head++) {
        for (var t0 = group.x * ROWS; t0 < p.n; t0 += KEYS) {
            if (first[t0] >= end) { break; }    // a later segment, or too far on: sees none of these keys
            let count = min(KEYS, p.n - t0);
            for (var i = lane; i < count * D4; i += THREADS) {
                ta[i] = head4(query_at(t0 + i / D4, head), i % D4);
                tb[i] = dy4(((t0 + i / D4) * p.q + head) * D, i % D4);
            }
            workgroupBarrier();
            for (var j = 0u; j < count; j++) {
                let query = t0 + j;
                let seen = live && row <= query && row >= first[query];
                if (skip(seen)) { continue; }
                var parts = vec2f();            // of q·k and dy·v
                for (var d = 0u; d < OWN; d++) {
                    let at = j * D4 + own + d * SHARE;
                    parts += vec2f(dot(k[d], ta[at]), dot(v[d], tb[at]));
                }
                let s = across(parts);
                if (seen) {
                    let e = exp(s.x - lse[query * p.q + head]);
                    let ds = e * (s.y - delta[query * p.q + head]) * p.scale;
                    for (var d = 0u; d < OWN; d++) {
                        dv[d] += e * tb[j * D4 + own + d * SHARE];
                        dk[d] += ds * ta[j * D4 + own + d * SHARE];
                    }
                }
            }
            workgroupBarrier();
        }
    }
    if (live) {
        for (var i = 0u; i < 4u * OWN; i++) {
            let d = 4u * (own + i / 4u * SHARE) + i % 4u;
            if (d < D) {
                dqkv[key_at(row, g) + d] = dk[i / 4u][i % 4u];
                dqkv[value_at(row, g) + d] = dv[i / 4u][i % 4u];
            }
        }
    }
}
