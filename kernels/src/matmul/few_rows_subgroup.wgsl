// y[m, n] = Σk a[m, k] w[n, k] (+ bias[n]) for at most ROWS rows m. Rung 3: a subgroup for each column, whose
// invocations add up in registers. Adds: no workgroup memory, no barrier. Costs: k must be a multiple of four.
struct Params { m: u32, n: u32, k: u32, c_0: u32, c_m: u32, bias: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const COLUMNS = 4u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(subgroup_size) size: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) s: u32) {
    let first = group_of(id, grid) * COLUMNS;
    let step = p.k / 4u;
    for (var j = subgroup; j < COLUMNS; j += max(1u, 64u / size)) {
        let n = min(first + j, p.n - 1u);        // columns beyond the last are computed and thrown away
        var acc: array<f32, ROWS>;
        for (var k = s; k < step; k += size) {
            let weight = w[n * step + k];
            for (var r = 0u; r < ROWS; r++) { acc[r] += dot(weight, a[min(r, p.m - 1u) * step + k]); }
        }
        for (var r = 0u; r < ROWS; r++) {
            var out = subgroupAdd(acc[r]);
            if (s == 0u && r < p.m && first + j < p.n) {
                let i = p.c_0 + r * p.c_m + n;
                if (p.bias == 1u) { out += bias[n]; }
                if (p.add == 1u) { out += y[i]; }
                y[i] = out;
            }
        }
    }
}
