// The second half of matrix.wgsl: its tiles, once the types of the matrix units are known.
const TILE = 4u * SIDE;
const BK = 16u;
var<workgroup> at: array<f16, TILE * BK>;               // at[m][k]
var<workgroup> bt: array<f16, BK * TILE>;               // bt[k][n]
var<workgroup> out: array<f32, 4u * SIDE * SIDE>;       // a matrix for each subgroup
const_assert 4u * TILE * BK + 16u * SIDE * SIDE <= 16384u;

fn show(m: u32, n: u32, z: u32, wave: u32, lane: u32) {
    for (var i = lane % LANES; i < SIDE * SIDE; i += LANES) {
        put(m + i / SIDE, n + i % SIDE, z, out[wave * SIDE * SIDE + i]);
    }
}

@compute @workgroup_size(4u * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let m0 = group.y * TILE;
    let n0 = group.x * TILE;
    let wave = lane / LANES;
    let mw = wave / 2u * 2u * SIDE;                      // where in the tile this subgroup's matrices are
    let nw = wave % 2u * 2u * SIDE;
    var c00 = Sums();
    var c01 = Sums();
    var c10 = Sums();
    var c11 = Sums();
    for (var k0 = group.z * p.per; k0 < min(p.k, (group.z + 1u) * p.per); k0 += BK) {
        for (var i = lane; i < TILE * BK; i += 4u * LANES) {
            let ma = m0 + select(i % TILE, i / BK, p.a_k == 1u);
            let ka = k0 + select(i / TILE, i % BK, p.a_k == 1u);
            let nb = n0 + select(i % TILE, i / BK, p.b_k == 1u);
            let kb = k0 + select(i / TILE, i % BK, p.b_k == 1u);
            var x = 0.0;
            var y = 0.0;
            if (ma < p.m && ka < p.k) { x = a[p.a_0 + ma * p.a_m + ka * p.a_k]; }
            if (nb < p.n && kb < p.k) { y = b[kb * p.b_k + nb * p.b_n]; }
            at[(ma - m0) * BK + ka - k0] = f16(x);
            bt[(kb - k0) * TILE + nb - n0] = f16(y);
        }
        workgroupBarrier();
        for (var k = 0u; k < BK; k += SIDE) {
            let a0 = coopLoadT<Left>(&at[mw * BK + k], BK);
            let a1 = coopLoadT<Left>(&at[(mw + SIDE) * BK + k], BK);
            let b0 = coopLoadT<Right>(&bt[k * TILE + nw], TILE);
            let b1 = coopLoadT<Right>(&bt[k * TILE + nw + SIDE], TILE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
        }
        workgroupBarrier();
    }
    // every argument of a store must be a let: naga 30 forgets others
    let at_out = wave * SIDE * SIDE;
    let side = SIDE;
    let v00 = c00;
    let v01 = c01;
    let v10 = c10;
    let v11 = c11;
    let m = m0 + mw;
    let n = n0 + nw;
    coopStoreT(v00, &out[at_out], side);
    workgroupBarrier();
    show(m, n, group.z, wave, lane);
    workgroupBarrier();
    coopStoreT(v01, &out[at_out], side);
    workgroupBarrier();
    show(m, n + SIDE, group.z, wave, lane);
    workgroupBarrier();
    coopStoreT(v10, &out[at_out], side);
    workgroupBarrier();
    show(m + SIDE, n, group.z, wave, lane);
    workgroupBarrier();
    coopStoreT(v11, &out[at_out], side);
    workgroupBarrier();
    show(m + SIDE, n + SIDE, group.z, wave, lane);
}
