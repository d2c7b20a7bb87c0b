// What the arithmetic of a GPU can do at most: an invocation adds up products in registers, 8 chains of four
// numbers that do not wait for one another, and touches memory once.
struct Params { rounds: u32, x: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) lane: u32) {
    let i = group_of(id, grid) * 256u + lane;
    let x = vec4f(p.x);
    var a = vec4f(f32(lane)); var b = a + 1.0; var c = a + 2.0; var d = a + 3.0;
    var e = a + 4.0; var f = a + 5.0; var g = a + 6.0; var h = a + 7.0;
    for (var round = 0u; round < p.rounds; round++) {
        a = fma(a, x, x); b = fma(b, x, x); c = fma(c, x, x); d = fma(d, x, x);
        e = fma(e, x, x); f = fma(f, x, x); g = fma(g, x, x); h = fma(h, x, x);
    }
    let sum = a + b + c + d + e + f + g + h;
    y[i] = sum.x + sum.y + sum.z + sum.w;
}
