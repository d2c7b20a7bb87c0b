// Rung 2 adds tiles in workgroup memory: what 16 x 16 invocations share is read from memory once, a 16th as
// often. Costs: two barriers a tile, and still 2 loads (of workgroup memory) for one multiplication.
const T = 16u;
var<workgroup> at: array<f32, T * T>;           // at[m][k]
var<workgroup> bt: array<f32, T * T>;           // bt[k][n]
const_assert 2u * T * T * 4u <= 16384u;

@compute @workgroup_size(T, T)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let m = group.y * T + id.y;
    let n = group.x * T + id.x;
    var sum = 0.0;
    for (var k0 = group.z * p.per; k0 < min(p.k, (group.z + 1u) * p.per); k0 += T) {
        at[lane] = 0.0;
        bt[lane] = 0.0;
        if (m < p.m && k0 + id.x < p.k) { at[lane] = a[p.a_0 + m * p.a_m + (k0 + id.x) * p.a_k]; }
        if (n < p.n && k0 + id.y < p.k) { bt[lane] = b[(k0 + id.y) * p.b_k + n * p.b_n]; }
        workgroupBarrier();
        for (var k = 0u; k < T; k++) { sum += at[id.y * T + k] * bt[k * T + id.x]; }
        workgroupBarrier();
    }
    put(m, n, group.z, sum);
}
