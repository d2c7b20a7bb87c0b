// dw[v] = Σ of the rows of dy whose id is v: rows[starts[v]..starts[v + 1]], in their order.
// A gather instead of atomics, so the sum does not depend on the order of execution.
// dw here begins with row `first` of the table.
struct Params { n: u32, cols: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read> rows: array<u32>;
@group(0) @binding(4) var<storage, read_write> dw: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let v = p.first + i / p.cols;
    var sum = 0.0;
    for (var j = starts[v]; j < starts[v + 1u]; j++) { sum += dy[rows[j] * p.cols + i % p.cols]; }
    dw[i] = sum;
}
