// h[n] = -Σ p ln p with ln p = logit - lse. One row a workgroup.
struct Params { rows: u32, cols: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid);
    if (row >= p.rows) { return; }
    var sum = 0.0;
    for (var v = lane; v < p.cols; v += THREADS) {
        let l = logits[row * p.cols + v] - lse[p.first + row];
        sum -= exp(l) * l;
    }
    let all = total(lane, sum);
    if (lane == 0u) { h[p.first + row] = all; }
}
