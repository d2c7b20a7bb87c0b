// Σ dy n and, `half` columns further on, Σ dy over a block of rows; sum_rows adds up the blocks.
// 64 columns a workgroup, four invocations a column, as in sum_rows.
struct Params { rows: u32, cols: u32, block: u32, half: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

var<workgroup> part: array<vec2f, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let c = group.x * 64u + lane % 64u;
    var sum = vec2f();
    if (c < p.cols) {
        for (var row = group.y * p.block + lane / 64u; row < min(p.rows, (group.y + 1u) * p.block); row += 4u) {
            let i = row * p.cols + c;
            var mean = 0.0;
            if (CENTRED == 1u) { mean = stats[2u * row]; }
            let rstd = stats[(CENTRED + 1u) * row + CENTRED];
            sum += vec2f(dy[i] * (x[i] - mean) * rstd, dy[i]);
        }
    }
    part[lane] = sum;
    workgroupBarrier();
    if (lane < 64u && c < p.cols) {
        let all = part[lane] + part[lane + 64u] + part[lane + 128u] + part[lane + 192u];
        let to = group.y * (CENTRED + 1u) * p.half + c;
        sums[to] = all.x;
        if (CENTRED == 1u) { sums[to + p.half] = all.y; }
    }
}
