// Rung 4 adds loads of four numbers at once and 8 x 8 sums an invocation: 4 loads of four numbers for 64
// multiplications. Costs: 64 registers for the sums, and shapes whose rows do not start at multiples of four
// numbers are left to rung 3. PAD 1 keeps what is written at once out of one bank of workgroup memory.
// BAND > 1 numbers the workgroups in bands of so many rows of tiles, so that those that run at the same time
// read the same operands and find them in the cache.
// ALONG_K says of each operand whether neighbouring k lie side by side: then 4 x 4 blocks are transposed.
const T = TILE / 8u;                            // invocations on an axis
const STEP = TILE / 4u + PAD;
var<workgroup> at: array<Cell, BK * STEP>;      // at[k][m / 4]
var<workgroup> bt: array<Cell, BK * STEP>;      // bt[k][n / 4]
const_assert 2u * BK * STEP * 16u <= BUDGET;

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

// Which tile a workgroup makes: (n, m).
fn tile_of(group: vec3u, grid: vec3u) -> vec2u {
    if (BAND == 1u) { return group.xy; }
    let i = group.y * grid.x + group.x;
    let first = i / (BAND * grid.x) * BAND;
    let rows = min(BAND, grid.y - first);
    let j = i - first * grid.x;
    return vec2u(j / rows, first + j % rows);
}

// Block i of a tile: (k / 4, m / 4) or (k / 4, n / 4), neighbours in memory to neighbouring invocations.
fn place(i: u32, along_k: u32) -> vec2u {
    if (along_k == 1u) { return vec2u(i % (BK / 4u), i / (BK / 4u)); }
    return vec2u(i / (TILE / 4u), i % (TILE / 4u));
}

@compute @workgroup_size(T, T)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
    let tile = tile_of(group, grid);
    let m0 = tile.y * TILE;
    let n0 = tile.x * TILE;
    // rows 0..4 and, half a tile further on, 4..8; columns 0..4 (l) and 4..8 (r)
    var l0 = vec4f(); var l1 = vec4f(); var l2 = vec4f(); var l3 = vec4f();
    var l4 = vec4f(); var l5 = vec4f(); var l6 = vec4f(); var l7 = vec4f();
    var r0 = vec4f(); var r1 = vec4f(); var r2 = vec4f(); var r3 = vec4f();
    var r4 = vec4f(); var r5 = vec4f(); var r6 = vec4f(); var r7 = vec4f();
    for (var k0 = group.z * p.per; k0 < min(p.k, (group.z + 1u) * p.per); k0 += BK) {
        for (var i = lane; i < 2u * TILE * BK / 16u; i += T * T) {
            if (i < TILE * BK / 16u) {
                let at_block = place(i, A_ALONG_K);
                let v = a_block(m0 + 4u * at_block.y, k0 + 4u * at_block.x);
                let to = 4u * at_block.x * STEP + at_block.y;
                at[to] = Cell(v[0]);
                at[to + STEP] = Cell(v[1]);
                at[to + 2u * STEP] = Cell(v[2]);
                at[to + 3u * STEP] = Cell(v[3]);
            } else {
                let at_block = place(i - TILE * BK / 16u, B_ALONG_K);
                let v = b_block(k0 + 4u * at_block.x, n0 + 4u * at_block.y);
                let to = 4u * at_block.x * STEP + at_block.y;
                bt[to] = Cell(v[0]);
                bt[to + STEP] = Cell(v[1]);
                bt[to + 2u * STEP] = Cell(v[2]);
                bt[to + 3u * STEP] = Cell(v[3]);
            }
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k++) {
            let x = vec4f(at[k * STEP + id.y]);
            let z = vec4f(at[k * STEP + id.y + T]);
            let l = vec4f(bt[k * STEP + id.x]);
            let r = vec4f(bt[k * STEP + id.x + T]);
            l0 += x.x * l; l1 += x.y * l; l2 += x.z * l; l3 += x.w * l;
            l4 += z.x * l; l5 += z.y * l; l6 += z.z * l; l7 += z.w * l;
            r0 += x.x * r; r1 += x.y * r; r2 += x.z * r; r3 += x.w * r;
            r4 += z.x * r; r5 += z.y * r; r6 += z.z * r; r7 += z.w * r;
        }
        workgroupBarrier();
    }
    let m = m0 + 4u * id.y;
    let n = n0 + 4u * id.x;
    let m2 = m + TILE / 2u;
    let n2 = n + TILE / 2u;
    put4(m, n, group.z, l0); put4(m + 1u, n, group.z, l1); put4(m + 2u, n, group.z, l2); put4(m + 3u, n, group.z, l3);
    put4(m2, n, group.z, l4); put4(m2 + 1u, n, group.z, l5); put4(m2 + 2u, n, group.z, l6); put4(m2 + 3u, n, group.z, l7);
    put4(m, n2, group.z, r0); put4(m + 1u, n2, group.z, r1); put4(m + 2u, n2, group.z, r2); put4(m + 3u, n2, group.z, r3);
    put4(m2, n2, group.z, r4); put4(m2 + 1u, n2, group.z, r5); put4(m2 + 2u, n2, group.z, r6); put4(m2 + 3u, n2, group.z, r7);
}
