// y[m, n] = Σk a[m, k] w[n, k] (+ bias[n]) for at most ROWS rows m: what a step of generation does.
// Every weight is read once for all rows. 16 invocations share a column n; a workgroup has four.
// Rung 2 adds loads of four numbers. Costs: k must be a multiple of four.
struct Params { m: u32, n: u32, k: u32, c_0: u32, c_m: u32, bias: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> w: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

const SPLIT = 16u;
const COLUMNS = 4u;
var<workgroup> part: array<f32, ROWS * COLUMNS * SPLIT>;
const_assert ROWS * COLUMNS * SPLIT * 4u <= 16384u;
const_assert ROWS <= SPLIT;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let n = group_of(id, grid) * COLUMNS + lane / SPLIT;
    let s = lane % SPLIT;
    var acc: array<f32, ROWS>;
    if (n < p.n) {
        let step = p.k / 4u;
        for (var k = s; k < step; k += SPLIT) {
            let weight = w[n * step + k];
            for (var r = 0u; r < ROWS; r++) {
                acc[r] += dot(weight, a[min(r, p.m - 1u) * step + k]);
            }
        }
    }
    for (var r = 0u; r < ROWS; r++) { part[r * 64u + lane] = acc[r]; }
    for (var half = SPLIT / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (s < half) {
            for (var r = 0u; r < ROWS; r++) { part[r * 64u + lane] += part[r * 64u + lane + half]; }
        }
    }
    workgroupBarrier();
    if (n < p.n && s < p.m) {                    // invocation s of the column writes row s
        var out = part[s * 64u + lane - s];
        if (p.bias == 1u) { out += bias[n]; }
        let i = p.c_0 + s * p.c_m + n;
        if (p.add == 1u) { out += y[i]; }
        y[i] = out;
    }
}
