// The second pass of a product whose k was split among workgroups: c[i] = Σz part[z][i] (+ bias) (+ what c held),
// always in the same order. Splitting fills a GPU where m n is small and k is large; it costs this pass.
struct Params { n: u32, cols: u32, parts: u32, bias: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.n) { return; }
    var sum = 0.0;
    for (var z = 0u; z < p.parts; z++) { sum += part[z * p.n + i]; }
    if (p.bias == 1u) { sum += bias[i % p.cols]; }
    if (p.add == 1u) { sum += c[i]; }
    c[i] = sum;
}
