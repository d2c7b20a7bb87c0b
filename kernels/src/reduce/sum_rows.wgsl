// y[block, c] = Σ over a block of rows of x[row, c]. 64 columns a workgroup, neighbours in memory
// to neighbouring invocations; four of them share a column.
struct Params { rows: u32, cols: u32, block: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

var<workgroup> part: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = group.x * 64u + lane % 64u;
    var sum = 0.0;
    if (c < p.cols) {
        for (var row = group.y * p.block + lane / 64u; row < min(p.rows, (group.y + 1u) * p.block); row += 4u) {
            sum += x[row * p.cols + c];
        }
    }
    part[lane] = sum;
    workgroupBarrier();
    if (lane < 64u && c < p.cols) {
        y[group.y * p.cols + c] = part[lane] + part[lane + 64u] + part[lane + 128u] + part[lane + 192u];
    }
}
