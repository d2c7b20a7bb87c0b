// The second pass of `cached4` in chunks: y = Σ part · exp(most - largest) / Σ sum · exp(most - largest).
// An invocation for each number of y, [N·H, D].
struct Params { n: u32, chunks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    let at = i / D * p.chunks * (D + 2u);
    var most = part[at + D];
    for (var c = 1u; c < p.chunks; c++) { most = max(most, part[at + c * (D + 2u) + D]); }
    var sum = 0.0;
    var total = 0.0;
    for (var c = 0u; c < p.chunks; c++) {
        let start = at + c * (D + 2u);
        let share = exp(part[start + D] - most);
        sum += share * part[start + i % D];
        total += share * part[start + D + 1u];
    }
    y[i] = sum / total;
}
