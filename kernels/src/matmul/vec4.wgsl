// Rung 4 adds loads of four numbers at once, 8 rows and 4 or 8 columns of sums an invocation (4 loads of four numbers
// for 64 multiplications), and loads ahead: while a step is multiplied the next one is on its way to registers.
// An invocation carries one block of 4 x 4 numbers of an operand at most; BK is as large as that allows.
// Costs: registers for the sums and the block; shapes whose rows do not start at multiples of four numbers are left
// to rung 3.
// ALONG_K says of each operand whether neighbouring k lie side by side: then 4 x 4 blocks are transposed.
const AT = TILE_M / 4u;                     // cells of a row
const BT = TILE_N / 4u;
const A_BLOCKS = AT * BK / 4u;
const BLOCKS = A_BLOCKS + BT * BK / 4u;
const THREADS_N = TILE_N / COLUMNS;
const THREADS_M = TILE_M / 8u;
var<workgroup> at: array<vec4f, BK * AT>;   // at[k][m / 4]
var<workgroup> bt: array<vec4f, BK * BT>;   // bt[k][n / 4]
const_assert BK * (AT + BT) * 16u <= 16384u;
const_assert BLOCKS <= THREADS_N * THREADS_M;

fn a4(i: u32, live: bool) -> vec4f {
    if (live) { return a[(p.a_0 + i) / 4u]; }
    return vec4f();
}

fn b4(i: u32, live: bool) -> vec4f {
    if (live) { return b[i / 4u]; }
    return vec4f();
}

// Column j is a(m..m+4, k + j); 0 outside.
fn a_block(m: u32, k: u32) -> mat4x4f {
    if (A_ALONG_K == 1u) {
        let i = m * p.a_m + k;
        let live = k < p.k;
        return transpose(mat4x4f(
            a4(i, live && m < p.m), a4(i + p.a_m, live && m + 1u < p.m),
            a4(i + 2u * p.a_m, live && m + 2u < p.m), a4(i + 3u * p.a_m, live && m + 3u < p.m)));
    }
    let i = k * p.a_k + m;
    let live = m < p.m;
    return mat4x4f(
        a4(i, live && k < p.k), a4(i + p.a_k, live && k + 1u < p.k),
        a4(i + 2u * p.a_k, live && k + 2u < p.k), a4(i + 3u * p.a_k, live && k + 3u < p.k));
}

// Column j is b(k + j, n..n+4); 0 outside.
fn b_block(k: u32, n: u32) -> mat4x4f {
    if (B_ALONG_K == 1u) {
        let i = n * p.b_n + k;
        let live = k < p.k;
        return transpose(mat4x4f(
            b4(i, live && n < p.n), b4(i + p.b_n, live && n + 1u < p.n),
            b4(i + 2u * p.b_n, live && n + 2u < p.n), b4(i + 3u * p.b_n, live && n + 3u < p.n)));
    }
    let i = k * p.b_k + n;
    let live = n < p.n;
    return mat4x4f(
        b4(i, live && k < p.k), b4(i + p.b_k, live && k + 1u < p.k),
        b4(i + 2u * p.b_k, live && k + 2u < p.k), b4(i + 3u * p.b_k, live && k + 3u < p.k));
}

// Block i of an operand of so many cells a row: (k / 4, cell), neighbours in memory to neighbouring invocations.
fn place(i: u32, along_k: u32, cells: u32) -> vec2u {
    if (along_k == 1u) { return vec2u(i % (BK / 4u), i / (BK / 4u)); }
    return vec2u(i / cells, i % cells);
}

// The block that an invocation carries in the step from k0 on.
fn fetch(lane: u32, m0: u32, n0: u32, k0: u32) -> mat4x4f {
    if (lane < A_BLOCKS) {
        let i = 4u * place(lane, A_ALONG_K, AT);
        return a_block(m0 + i.y, k0 + i.x);
    }
    if (lane < BLOCKS) {
        let i = 4u * place(lane - A_BLOCKS, B_ALONG_K, BT);
        return b_block(k0 + i.x, n0 + i.y);
    }
    return mat4x4f();
}

fn lay_down(lane: u32, v: mat4x4f) {
    if (lane < A_BLOCKS) {
        let i = place(lane, A_ALONG_K, AT);
        let to = 4u * i.x * AT + i.y;
        at[to] = v[0];
        at[to + AT] = v[1];
        at[to + 2u * AT] = v[2];
        at[to + 3u * AT] = v[3];
    } else if (lane < BLOCKS) {
        let i = place(lane - A_BLOCKS, B_ALONG_K, BT);
        let to = 4u * i.x * BT + i.y;
        bt[to] = v[0];
        bt[to + BT] = v[1];
        bt[to + 2u * BT] = v[2];
        bt[to + 3u * BT] = v[3];
    }
}

@compute @workgroup_size(THREADS_N, THREADS_M)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * TILE_M;
    let n0 = group.x * TILE_N;
    // rows 0..4 and, half a tile further on, 4..8; columns 0..4 (l) and 4..8 (r)
    var l0 = vec4f(); var l1 = vec4f(); var l2 = vec4f(); var l3 = vec4f();
    var l4 = vec4f(); var l5 = vec4f(); var l6 = vec4f(); var l7 = vec4f();
    var r0 = vec4f(); var r1 = vec4f(); var r2 = vec4f(); var r3 = vec4f();
    var r4 = vec4f(); var r5 = vec4f(); var r6 = vec4f(); var r7 = vec4f();
    let first = group.z * p.per;
    let end = min(p.k, first + p.per);
    var next = fetch(lane, m0, n0, first);
    for (var k0 = first; k0 < end; k0 += BK) {
        lay_down(lane, next);
        workgroupBarrier();
        if (k0 + BK < end) { next = fetch(lane, m0, n0, k0 + BK); }
        for (var k = 0u; k < BK; k++) {
            let ai = k * AT + id.y;
            let bi = k * BT + id.x;
            let x = at[ai];
            let z = at[ai + THREADS_M];
            let l = bt[bi];
            l0 += x.x * l; l1 += x.y * l; l2 += x.z * l; l3 += x.w * l;
            l4 += z.x * l; l5 += z.y * l; l6 += z.z * l; l7 += z.w * l;
            if (COLUMNS == 8u) {
                let r = bt[bi + THREADS_N];
                r0 += x.x * r; r1 += x.y * r; r2 += x.z * r; r3 += x.w * r;
                r4 += z.x * r; r5 += z.y * r; r6 += z.z * r; r7 += z.w * r;
            }
        }
        workgroupBarrier();
    }
    let m = m0 + 4u * id.y;
    let n = n0 + 4u * id.x;
    let m2 = m + TILE_M / 2u;
    put4(m, n, group.z, l0); put4(m + 1u, n, group.z, l1); put4(m + 2u, n, group.z, l2); put4(m + 3u, n, group.z, l3);
    put4(m2, n, group.z, l4); put4(m2 + 1u, n, group.z, l5); put4(m2 + 2u, n, group.z, l6); put4(m2 + 3u, n, group.z, l7);
    if (COLUMNS == 8u) {
        let n2 = n + TILE_N / 2u;
        put4(m, n2, group.z, r0); put4(m + 1u, n2, group.z, r1); put4(m + 2u, n2, group.z, r2); put4(m + 3u, n2, group.z, r3);
        put4(m2, n2, group.z, r4); put4(m2 + 1u, n2, group.z, r5); put4(m2 + 2u, n2, group.z, r6); put4(m2 + 3u, n2, group.z, r7);
    }
}
