// One row a workgroup. CENTRED 1 is layer norm: y = (x - mean) rstd w + b, stats [N, 2] = mean, rstd.
// CENTRED 0 is RMS norm: y = x rstd w, stats [N] = rstd.
struct Params { rows: u32, cols: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid);
    if (row >= p.rows) { return; }
    let at = row * p.cols;
    var mean = 0.0;
    if (CENTRED == 1u) {
        var sum = 0.0;
        for (var c = lane; c < p.cols; c += THREADS) { sum += x[at + c]; }
        mean = total(lane, sum) / f32(p.cols);
    }
    var squares = 0.0;
    for (var c = lane; c < p.cols; c += THREADS) {
        let d = x[at + c] - mean;
        squares += d * d;
    }
    let rstd = 1.0 / sqrt(total(lane, squares) / f32(p.cols) + p.eps);
    for (var c = lane; c < p.cols; c += THREADS) {
        var v = (x[at + c] - mean) * rstd * w[c];
        if (CENTRED == 1u) { v += b[c]; }
        y[at + c] = v;
    }
    if (lane == 0u) {
        if (CENTRED == 1u) { stats[2u * row] = mean; }
        stats[(CENTRED + 1u) * row + CENTRED] = rstd;
    }
}
