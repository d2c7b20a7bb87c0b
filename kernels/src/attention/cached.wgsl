// y[n] = attention of token n to keys 0..=positions[n] of its slot in the cache [slots, T, G·D], at most to the
// last `window` of them.
// Rung 1, the base: a workgroup is one token and one query head; lanes share the keys, then the channels.
struct Params { n: u32, q: u32, kv: u32, t: u32, scale: f32, window: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const FAR = -1e30;
const OWN = (D + THREADS - 1u) / THREADS;       // channels of an invocation
var<workgroup> query: array<f32, D>;
var<workgroup> weight: array<f32, THREADS>;
const_assert 4u * (D + 2u * THREADS) <= 16384u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = group_of(id, grid);
    if (group >= p.n * p.q) { return; }
    let token = group / p.q;
    let head = group % p.q;
    let step = p.kv * D;                        // from one key of the cache to the next
    let at = slots[token] * p.t * step + head * p.kv / p.q * D;
    let keys = positions[token] + 1u;
    for (var d = lane; d < D; d += THREADS) { query[d] = qkv[token * (p.q + 2u * p.kv) * D + head * D + d] * p.scale; }
    workgroupBarrier();
    var most = FAR;
    var sum = 0.0;
    var acc: array<f32, OWN>;
    for (var t0 = keys - min(keys, p.window); t0 < keys; t0 += THREADS) {
        let key = t0 + lane;
        var s = FAR;
        if (key < keys) {
            s = 0.0;
            for (var d = 0u; d < D; d++) { s += query[d] * k[at + key * step + d]; }
        }
        let now = max(most, largest(lane, s));
        let e = select(0.0, exp(s - now), key < keys);
        weight[lane] = e;
        let shrink = exp(most - now);
        sum = sum * shrink + total(lane, e);    // its barriers also publish the weights
        most = now;
        for (var own = 0u; own < OWN; own++) {
            let d = own * THREADS + lane;
            if (d < D) {
                var o = 0.0;
                for (var j = 0u; j < min(THREADS, keys - t0); j++) { o += weight[j] * v[at + (t0 + j) * step + d]; }
                acc[own] = acc[own] * shrink + o;
            }
        }
        workgroupBarrier();
    }
    for (var own = 0u; own < OWN; own++) {
        let d = own * THREADS + lane;
        if (d < D) { y[(token * p.q + head) * D + d] = acc[own] / sum; }
    }
}
