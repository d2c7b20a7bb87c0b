// Rung 1, the base: an invocation for each number of c. Costs: every operand is read again from memory for
// every product, 2 loads for one multiplication.
@compute @workgroup_size(16, 16)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u) {
    let m = group.y * 16u + id.y;
    let n = group.x * 16u + id.x;
    if (m >= p.m || n >= p.n) { return; }
    var sum = 0.0;
    for (var k = group.z * p.per; k < min(p.k, (group.z + 1u) * p.per); k++) {
        sum += a[p.a_0 + m * p.a_m + k * p.a_k] * b[k * p.b_k + n * p.b_n];
    }
    put(m, n, group.z, sum);
}
