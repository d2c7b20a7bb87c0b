// What the rungs of the product share: c[m, n] = Σk a(m, k) b(k, n)   (+ bias[n])   (+ what c held).
// All three forms by strides: a(m, k) = a[a_0 + m·a_m + k·a_k], b(k, n) = b[k·b_k + n·b_n].
// Workgroups z sum over `per` of the k each; where there are several, c has a part for each z, c_z numbers further on.
struct Params {
    m: u32, n: u32, k: u32, a_0: u32, a_m: u32, a_k: u32, b_k: u32, b_n: u32, c_0: u32, c_m: u32,
    per: u32, bias: u32, add: u32, c_z: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<Number>;
@group(0) @binding(2) var<storage, read> b: array<Number>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

fn put(m: u32, n: u32, z: u32, sum: f32) {
    if (m >= p.m || n >= p.n) { return; }
    let i = p.c_0 + z * p.c_z + m * p.c_m + n;
    var y = sum;
    if (p.bias == 1u) { y += bias[n]; }
    if (p.add == 1u) { y += c[i]; }
    c[i] = y;
}

fn put4(m: u32, n: u32, z: u32, sums: vec4f) {
    put(m, n, z, sums.x);
    put(m, n + 1u, z, sums.y);
    put(m, n + 2u, z, sums.z);
    put(m, n + 3u, z, sums.w);
}
