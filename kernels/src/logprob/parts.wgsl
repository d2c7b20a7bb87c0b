// The second pass of `chunks`: lse = the log-sum-exp of the chunks' own. An invocation for each row.
struct Params { rows: u32, cols: u32, chunks: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> part: array<vec2f>;
@group(0) @binding(3) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> lp: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let row = group_of(id, grid) * 256u + lane;
    if (row >= p.rows) { return; }
    var most = -3e38;
    for (var c = 0u; c < p.chunks; c++) { most = max(most, part[row * p.chunks + c].x); }
    var sum = 0.0;
    for (var c = 0u; c < p.chunks; c++) {
        let one = part[row * p.chunks + c];
        sum += one.y * exp(one.x - most);
    }
    let l = most + log(sum);
    lse[p.first + row] = l;
    lp[p.first + row] = logits[row * p.cols + ids[p.first + row]] - l;
}
