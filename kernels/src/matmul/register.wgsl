// Rung 3 adds registers: an invocation makes 4 x 4 numbers, 2 loads of four numbers for 16 multiplications.
// Operands are read one number at a time, whichever way they lie. Costs: 16 registers for the sums.
const BK = 16u;
const T = TILE / 4u;                            // invocations on an axis
const PAD = T + 1u;                             // keeps neighbouring k out of one memory bank
var<workgroup> at: array<vec4f, BK * PAD>;      // at[k][m / 4]
var<workgroup> bt: array<vec4f, BK * PAD>;      // bt[k][n / 4]
const_assert 2u * BK * PAD * 16u <= 16384u;

// a(m..m+4, k); 0 outside
fn a4(m: u32, k: u32) -> vec4f {
    let i = p.a_0 + m * p.a_m + k * p.a_k;
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

@compute @workgroup_size(T, T)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * TILE;
    let n0 = group.x * TILE;
    var c0 = vec4f();
    var c1 = vec4f();
    var c2 = vec4f();
    var c3 = vec4f();
    for (var k0 = group.z * p.per; k0 < min(p.k, (group.z + 1u) * p.per); k0 += BK) {
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
    put4(m, n, group.z, c0);
    put4(m + 1u, n, group.z, c1);
    put4(m + 2u, n, group.z, c2);
    put4(m + 3u, n, group.z, c3);
}
