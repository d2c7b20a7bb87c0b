// y[n] = attention of token n to keys 0..=positions[n] of its slot in the cache [slots, T, G·D].
// Rung 2 adds loads of four numbers, and lanes that share the keys of the values too. With CHUNK keys a
// workgroup (rung 3) many workgroups share a long past, each leaving [D + 2]: its sum, maximum and total for
// `cached_parts` to put together. Costs: heads of a multiple of four numbers, at most 256.
struct Params { n: u32, q: u32, kv: u32, t: u32, chunks: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(2) var<storage, read> k: array<vec4f>;
@group(0) @binding(3) var<storage, read> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

const FAR = -1e30;
const D4 = D / 4u;
const SETS = THREADS / D4;                      // so many lanes share the keys of one number of the values
var<workgroup> query: array<vec4f, D4>;
var<workgroup> weight: array<f32, THREADS>;
var<workgroup> sums: array<vec4f, THREADS>;
const_assert 16u * D4 + 4u * 2u * THREADS + 16u * THREADS <= 16384u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = group_of(id, grid);
    if (group >= p.n * p.q * p.chunks) { return; }
    let chunk = group % p.chunks;
    let token = group / p.chunks / p.q;
    let head = group / p.chunks % p.q;
    let step = p.kv * D4;                       // from one key of the cache to the next
    let at = slots[token] * p.t * step + head * p.kv / p.q * D4;
    let keys = min(positions[token] + 1u, (chunk + 1u) * CHUNK);
    for (var d = lane; d < D4; d += THREADS) { query[d] = qkv[token * (p.q + 2u * p.kv) * D4 + head * D4 + d] * p.scale; }
    workgroupBarrier();
    var most = FAR;
    var sum = 0.0;
    var acc = vec4f();
    let own = lane % D4;
    for (var t0 = chunk * CHUNK; t0 < keys; t0 += THREADS) {
        let key = t0 + lane;
        var s = FAR;
        if (key < keys) {
            s = 0.0;
            for (var d = 0u; d < D4; d++) { s += dot(query[d], k[at + key * step + d]); }
        }
        let now = max(most, largest(lane, s));
        let e = select(0.0, exp(s - now), key < keys);
        weight[lane] = e;
        let shrink = exp(most - now);
        sum = sum * shrink + total(lane, e);    // its barriers also publish the weights
        most = now;
        acc *= shrink;
        if (lane < SETS * D4) {
            for (var j = lane / D4; j < min(THREADS, keys - t0); j += SETS) { acc += weight[j] * v[at + (t0 + j) * step + own]; }
        }
        workgroupBarrier();
    }
    sums[lane] = acc;
    workgroupBarrier();
    if (lane < D4) {
        for (var i = 1u; i < SETS; i++) { acc += sums[i * D4 + lane]; }
        if (p.chunks == 1u) { acc /= sum; }
        let to = group * select(D + 2u, D, p.chunks == 1u) + 4u * lane;
        y[to] = acc.x;
        y[to + 1u] = acc.y;
        y[to + 2u] = acc.z;
        y[to + 3u] = acc.w;
    }
    if (lane == 0u && p.chunks > 1u) {
        y[group * (D + 2u) + D] = most;
        y[group * (D + 2u) + D + 1u] = sum;
    }
}
