// y[n, y_start + j] = x[n, x_start + j] for each of `count` columns j. One invocation a number.
struct Params { n: u32, count: u32, xw: u32, x_start: u32, yw: u32, y_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let row = i / p.count;
    let j = i % p.count;
    y[row * p.yw + p.y_start + j] = x[row * p.xw + p.x_start + j];
}
