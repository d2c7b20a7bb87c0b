// y[i] = s y[i] + shift, in place. s = 0 fills, whatever was there.
struct Params { n: u32, s: f32, shift: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i < p.n) { y[i] = select(p.s * y[i] + p.shift, p.shift, p.s == 0.0); }
}
