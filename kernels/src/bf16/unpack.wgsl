// y[2i] and y[2i + 1] from the low and the high half of words[i].
struct Params { n: u32, words: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.words) { return; }
    y[2u * i] = words[i] << 16u;
    if (2u * i + 1u < p.n) { y[2u * i + 1u] = words[i] & 0xffff0000u; }
}
