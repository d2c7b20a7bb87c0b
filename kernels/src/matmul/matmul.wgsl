// c[m, n] = Σk a(m, k) b(k, n)   (+ bias[n])   (+ what c held)
// All three forms by strides: a(m, k) = a[m·a_m + k·a_k], b(k, n) = b[k·b_k + n·b_n].
// A workgroup makes TILE x TILE numbers; each invocation 4 x 4 of them in registers.
struct Params { m: u32, n: u32, k: u32, a_m: u32, a_k: u32, b_k: u32, b_n: u32, bias: u32, add: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> c: array<f32>;

const BK = 16u;
const T = TILE / 4u;                            // invocations on an axis
const PAD = T + 1u;                             // keeps neighbouring k out of one memory bank
var<workgroup> at: array<vec4f, BK * PAD>;      // at[k][m / 4]
var<workgroup> bt: array<vec4f, BK * PAD>;      // bt[k][n / 4]
const_assert 2u * BK * PAD * 16u <= 16384u;

// a(m..m+4, k); 0 outside
fn a4(m: u32, k: u32) -> vec4f {
    let i = m * p.a_m + k * p.a_k;
    if (k < p.k && m + 3u < p.m) {
        return vec4f(a[i], a[i + p.a_m], a[i + 2u * p.a_m], a[i + 3u * p.a_m]);
    }
    var v = vec4f();
    if (k < p.k && m < p.m) { v.x = a[i]; }
    if (k < p.k && m + 1u < p.m) { v.y = a[i + p.a_m]; }
    if (k < p.k && m + 2u < p.m) { v.z = a[i + 2u * p.a_m]; }
    return v;
}

// b(k, n..n+4); 0 outside
fn b4(k: u32, n: u32) -> vec4f {
    let i = k * p.b_k + n * p.b_n;
    if (k < p.k && n + 3u < p.n) {
        return vec4f(b[i], b[i + p.b_n], b[i + 2u * p.b_n], b[i + 3u * p.b_n]);
    }
    var v = vec4f();
    if (k < p.k && n < p.n) { v.x = b[i]; }
    if (k < p.k && n + 1u < p.n) { v.y = b[i + p.b_n]; }
    if (k < p.k && n + 2u < p.n) { v.z = b[i + 2u * p.b_n]; }
    return v;
}

fn store(m: u32, n: u32, v: vec4f) {
    if (m >= p.m) { return; }
    for (var j = 0u; j < 4u; j++) {
        if (n + j < p.n) {
            var y = v[j];
            if (p.bias == 1u) { y += bias[n + j]; }
            if (p.add == 1u) { y += c[m * p.n + n + j]; }
            c[m * p.n + n + j] = y;
        }
    }
}

@compute @workgroup_size(T, T)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * TILE;
    let n0 = group.x * TILE;
    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    for (var k0 = 0u; k0 < p.k; k0 += BK) {
        // neighbouring invocations read neighbouring memory, whichever way an operand lies
        for (var i = lane; i < BK * T; i += T * T) {
            if (p.a_k == 1u) { at[(i % BK) * PAD + i / BK] = a4(m0 + i / BK * 4u, k0 + i % BK); }
            else { at[(i / T) * PAD + i % T] = a4(m0 + i % T * 4u, k0 + i / T); }
            if (p.b_k == 1u) { bt[(i % BK) * PAD + i / BK] = b4(k0 + i % BK, n0 + i / BK * 4u); }
            else { bt[(i / T) * PAD + i % T] = b4(k0 + i / T, n0 + i % T * 4u); }
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let x = at[k * PAD + id.y];
            let y = bt[k * PAD + id.x];
            c0 += x.x * y;
            c1 += x.y * y;
            c2 += x.z * y;
            c3 += x.w * y;
        }
        workgroupBarrier();
    }
    let m = m0 + id.y * 4u;
    let n = n0 + id.x * 4u;
    store(m, n, c0);
    store(m + 1u, n, c1);
    store(m + 2u, n, c2);
    store(m + 3u, n, c3);
}
