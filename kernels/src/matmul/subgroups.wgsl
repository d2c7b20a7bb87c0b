// Rung 5 needs no workgroup memory: a subgroup makes 16 x 4·SUB numbers, an invocation four columns of them. Adds: the
// numbers of a row are loaded once and broadcast to the subgroup, 6 loads for 64 multiplications and no barrier.
// Costs: 64 registers for the sums, and operands come from the cache every time. What processors that play a GPU do best.
const SUBGROUPS = 64u / SUB;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_invocation_id) lane: u32) {
    let m = (group.y * SUBGROUPS + subgroup) * 16u;
    let n = (group.x * SUB + lane) * 4u;
    let first = group.z * p.per;
    // rows and columns beyond the last are computed from the last and thrown away
    var i = p.a_0 + min(vec2u(m, m + 8u) + lane % 8u, vec2u(p.m - 1u)) * p.a_m + first * p.a_k;
    var j = min(vec4u(n, n + 1u, n + 2u, n + 3u), vec4u(p.n - 1u)) * p.b_n + first * p.b_k;
    var c0 = vec4f();    var c1 = vec4f();    var c2 = vec4f();    var c3 = vec4f();
    var c4 = vec4f();    var c5 = vec4f();    var c6 = vec4f();    var c7 = vec4f();
    var c8 = vec4f();    var c9 = vec4f();    var c10 = vec4f();    var c11 = vec4f();
    var c12 = vec4f();    var c13 = vec4f();    var c14 = vec4f();    var c15 = vec4f();
    for (var k = first; k < min(p.k, first + p.per); k++) {
        let x = a[i.x];
        let z = a[i.y];
        let y = vec4f(b[j.x], b[j.y], b[j.z], b[j.w]);
        i += vec2u(p.a_k);
        j += vec4u(p.b_k);
        c0 += subgroupBroadcast(x, 0u) * y;
        c1 += subgroupBroadcast(x, 1u) * y;
        c2 += subgroupBroadcast(x, 2u) * y;
        c3 += subgroupBroadcast(x, 3u) * y;
        c4 += subgroupBroadcast(x, 4u) * y;
        c5 += subgroupBroadcast(x, 5u) * y;
        c6 += subgroupBroadcast(x, 6u) * y;
        c7 += subgroupBroadcast(x, 7u) * y;
        c8 += subgroupBroadcast(z, 0u) * y;
        c9 += subgroupBroadcast(z, 1u) * y;
        c10 += subgroupBroadcast(z, 2u) * y;
        c11 += subgroupBroadcast(z, 3u) * y;
        c12 += subgroupBroadcast(z, 4u) * y;
        c13 += subgroupBroadcast(z, 5u) * y;
        c14 += subgroupBroadcast(z, 6u) * y;
        c15 += subgroupBroadcast(z, 7u) * y;
    }
    put4(m, n, group.z, c0);    put4(m + 1u, n, group.z, c1);    put4(m + 2u, n, group.z, c2);    put4(m + 3u, n, group.z, c3);
    put4(m + 4u, n, group.z, c4);    put4(m + 5u, n, group.z, c5);    put4(m + 6u, n, group.z, c6);    put4(m + 7u, n, group.z, c7);
    put4(m + 8u, n, group.z, c8);    put4(m + 9u, n, group.z, c9);    put4(m + 10u, n, group.z, c10);    put4(m + 11u, n, group.z, c11);
    put4(m + 12u, n, group.z, c12);    put4(m + 13u, n, group.z, c13);    put4(m + 14u, n, group.z, c14);    put4(m + 15u, n, group.z, c15);
}
