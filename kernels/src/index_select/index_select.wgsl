// y[n] = w[ids[n]]: an invocation for each number of y. The table's rows here are first..first + rows; others are
// left to another dispatch.
struct Params { n: u32, cols: u32, first: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let row = ids[i / p.cols] - p.first;        // wraps round below `first`
    if (row < p.rows) { y[i] = w[row * p.cols + i % p.cols]; }
}
