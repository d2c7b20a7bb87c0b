// lp[n] = logits[n, ids[n]] - lse[n], lse[n] = ln Σ exp(logits[n]). One row a workgroup.
// Rung 3 adds workgroups that share a row, CHUNK logits each: few rows of a large vocabulary fill a GPU. Costs:
// a second pass, `parts`, over what they leave: (largest, sum) of each chunk.
struct Params { rows: u32, cols: u32, chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> part: array<vec2f>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let group = group_of(id, grid);
    if (group >= p.rows * p.chunks) { return; }
    let at = group / p.chunks * p.cols;
    let start = group % p.chunks * CHUNK;
    var most = -3e38;
    var sum = 0.0;
    for (var v = start + lane; v < min(p.cols, start + CHUNK); v += THREADS) {
        let x = logits[at + v];
        if (x > most) {
            sum *= exp(most - x);
            most = x;
        }
        sum += exp(x - most);
    }
    let all = largest(lane, most);
    let of_all = total(lane, sum * exp(most - all));
    if (lane == 0u) { part[group] = vec2f(all, of_all); }
}
