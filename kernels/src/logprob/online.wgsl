// lp[n] = logits[n, ids[n]] - lse[n], lse[n] = ln Σ exp(logits[n]). One row a workgroup.
// Rung 2 adds a running maximum: one pass over the logits. Costs: a second exponential where it rises. The rows here begin with row `first` of lp.
struct Params { rows: u32, cols: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> lp: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid);
    if (row >= p.rows) { return; }
    let at = row * p.cols;
    var most = -3e38;
    var sum = 0.0;
    for (var v = lane; v < p.cols; v += THREADS) {
        let x = logits[at + v];
        if (x > most) {
            sum *= exp(most - x);
            most = x;
        }
        sum += exp(x - most);
    }
    let all = largest(lane, most);
    let l = all + log(total(lane, sum * exp(most - all)));
    if (lane == 0u) {
        lse[p.first + row] = l;
        lp[p.first + row] = logits[at + ids[p.first + row]] - l;
    }
}
