// k[slots[n], positions[n]] = the keys of row n of qkv; v the same. One invocation a number.
struct Params { n: u32, q: u32, kv: u32, t: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> positions: array<u32>;
@group(0) @binding(4) var<storage, read_write> k: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    let step = p.kv * D;
    if (i >= p.n * step) { return; }
    let token = i / step;
    let source = token * (p.q + 2u * p.kv) * D + p.q * D + i % step;
    let to = (slots[token] * p.t + positions[token]) * step + i % step;
    k[to] = qkv[source];
    v[to] = qkv[source + step];
}
