// The second pass of a product whose k was split among workgroups, or whose tiles are wider than c:
// c[m, n] = Σz part[z][m, n] (+ bias[n]) (+ what c held), always in the same order. Splitting fills a GPU where m n is
// small and k is large; it costs this pass.
// A part has `size` numbers in rows of `wide`, c rows of c_m from c_0 on; `count` numbers are made, `columns` a row.
struct Params { count: u32, columns: u32, parts: u32, size: u32, wide: u32, c_0: u32, c_m: u32, bias: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    if (i >= p.count) { return; }
    let m = i / p.columns;
    let n = i % p.columns;
    let to = p.c_0 + m * p.c_m + n;
    var sum = 0.0;
    for (var z = 0u; z < p.parts; z++) { sum += part[z * p.size + m * p.wide + n]; }
    if (p.bias == 1u) { sum += bias[n]; }
    if (p.add == 1u) { sum += c[to]; }
    c[to] = sum;
}
