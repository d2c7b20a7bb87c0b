// In the forward pass, with n = (x - mean) rstd: y = n w + b. With g = dy w:
// dx = (g - mean g - n mean(g n)) rstd; RMS norm (CENTRED 0) has no mean g. One row a workgroup.
struct Params { rows: u32, cols: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid);
    if (row >= p.rows) { return; }
    let at = row * p.cols;
    var mean = 0.0;
    if (CENTRED == 1u) { mean = stats[2u * row]; }
    let rstd = stats[(CENTRED + 1u) * row + CENTRED];
    var sum_g = 0.0;
    var sum_gn = 0.0;
    for (var c = lane; c < p.cols; c += THREADS) {
        let g = dy[at + c] * w[c];
        sum_g += g;
        sum_gn += g * (x[at + c] - mean) * rstd;
    }
    var mean_g = 0.0;
    if (CENTRED == 1u) { mean_g = total(lane, sum_g) / f32(p.cols); }
    let mean_gn = total(lane, sum_gn) / f32(p.cols);
    for (var c = lane; c < p.cols; c += THREADS) {
        let n = (x[at + c] - mean) * rstd;
        dx[at + c] = (dy[at + c] * w[c] - mean_g - n * mean_gn) * rstd;
    }
}
