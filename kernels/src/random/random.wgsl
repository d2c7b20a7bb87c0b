// Numbers first..first+n of unit_at: an invocation makes the four of one Philox block.
// DROPOUT 1: y = x · scale where the number is at least `drop`, else 0. DROPOUT 0: y = the number.
struct Params { n: u32, first: u32, key0: u32, key1: u32, drop: f32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let block = group_of(id, grid) * 256u + lane;
    if (4u * block >= p.n) { return; }
    let words = philox(vec4u(p.first / 4u + block, 0u, 0u, 0u), vec2u(p.key0, p.key1));
    for (var j = 0u; j < 4u && 4u * block + j < p.n; j++) {
        let i = 4u * block + j;
        let u = unit(words[j]);
        if (DROPOUT == 1u) { y[i] = select(0.0, x[i] * p.scale, u >= p.drop); } else { y[i] = u; }
    }
}
