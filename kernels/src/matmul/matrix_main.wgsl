// The other part of matrix.wgsl: the product, once the types of the matrix units are known.
// While a step of BK is multiplied, the next one is on its way to registers: 16 numbers of each operand an invocation.
// From there it goes to workgroup memory in f16, as it lies (the units transpose), rows padded against bank conflicts.
//
// Range: f16 holds 30 powers of two. So each step of each operand is scaled by a power of two that brings its largest
// number near 2^14, and its sums are scaled back before they are added up: nothing overflows, and what is lost lies
// 2^38 below the largest number of a step.
// Rounding: to 24 - DROP bits, the nearest, ties to even: 13 is f16, 16 is bf16, whose numbers f16 holds exactly.
// HALVES 2: a number is two of them, high + low / 2048, and high high + (high low + low high) / 2048 is as exact as f32
// for three times the multiplications. The units cut off what they add; that is why a step has sums of its own.
const TILE = 4u * SIDE;
const THREADS = 4u * LANES;
const BK = 16u * LANES / SIDE;
const A_WIDTH = A_ALONG_K * BK + (1u - A_ALONG_K) * TILE;       // of a row of an operand in workgroup memory
const B_WIDTH = B_ALONG_K * BK + (1u - B_ALONG_K) * TILE;
const A_STRIDE = (A_WIDTH + 8u) / 4u;
const B_STRIDE = (B_WIDTH + 8u) / 4u;
const A_SIZE = TILE * BK / A_WIDTH * A_STRIDE;
const B_SIZE = TILE * BK / B_WIDTH * B_STRIDE;
const LOW = HALVES - 1u;
var<workgroup> at: array<vec4<f16>, HALVES * A_SIZE>;
var<workgroup> bt: array<vec4<f16>, HALVES * B_SIZE>;
var<workgroup> peaks: array<vec2f, 4>;                          // of each subgroup
const_assert 8u * HALVES * (A_SIZE + B_SIZE) + 32u <= BUDGET;

// Fours `i` of the operands in the step from k0 on. Beyond m and n they are others' and end up beyond m and n.
fn a_at(i: u32, m0: u32, k0: u32) -> vec4f {
    let row = i / (A_WIDTH / 4u);
    let column = i % (A_WIDTH / 4u) * 4u;
    if (A_ALONG_K == 1u) { return a_four(p.a_0 + min(m0 + row, p.m - 1u) * p.a_m + k0 + column); }
    return a_four(p.a_0 + (k0 + row) * p.a_k + m0 + column);
}

fn b_at(i: u32, n0: u32, k0: u32) -> vec4f {
    let row = i / (B_WIDTH / 4u);
    let column = i % (B_WIDTH / 4u) * 4u;
    if (B_ALONG_K == 1u) { return b_four(min(n0 + row, p.n - 1u) * p.b_n + k0 + column); }
    return b_four((k0 + row) * p.b_k + n0 + column);
}

fn fetch_a(lane: u32, m0: u32, k0: u32) -> mat4x4f {
    return mat4x4f(a_at(lane, m0, k0), a_at(lane + THREADS, m0, k0), a_at(lane + 2u * THREADS, m0, k0), a_at(lane + 3u * THREADS, m0, k0));
}

fn fetch_b(lane: u32, n0: u32, k0: u32) -> mat4x4f {
    return mat4x4f(b_at(lane, n0, k0), b_at(lane + THREADS, n0, k0), b_at(lane + 2u * THREADS, n0, k0), b_at(lane + 3u * THREADS, n0, k0));
}

// v, 0 where its k lie beyond `end`.
fn before(v: vec4f, i: u32, width: u32, along_k: u32, k0: u32, end: u32) -> vec4f {
    let k = k0 + (1u - along_k) * (i / (width / 4u)) + along_k * (i % (width / 4u) * 4u + vec4u(0u, 1u, 2u, 3u));
    return select(vec4f(), v, k < vec4u(end));
}

fn all_before(v: mat4x4f, lane: u32, width: u32, along_k: u32, k0: u32, end: u32) -> mat4x4f {
    return mat4x4f(before(v[0], lane, width, along_k, k0, end), before(v[1], lane + THREADS, width, along_k, k0, end),
        before(v[2], lane + 2u * THREADS, width, along_k, k0, end), before(v[3], lane + 3u * THREADS, width, along_k, k0, end));
}

fn largest(v: mat4x4f) -> f32 {
    let most = max(max(abs(v[0]), abs(v[1])), max(abs(v[2]), abs(v[3])));
    return max(max(most.x, most.y), max(most.z, most.w));
}

// The power of two that brings numbers up to `peak` near 2^14, and its inverse.
fn scale(peak: f32) -> f32 {
    return bitcast<f32>(clamp(267u - (bitcast<u32>(peak) >> 23u), 1u, 253u) << 23u);
}

fn inverse(scale: f32) -> f32 {
    return bitcast<f32>((254u << 23u) - bitcast<u32>(scale));
}

fn rounded(v: vec4f) -> vec4f {
    let bits = bitcast<vec4u>(v);
    return bitcast<vec4f>((bits + ((1u << (DROP - 1u)) - 1u) + ((bits >> vec4u(DROP)) & vec4u(1u))) & vec4u(~((1u << DROP) - 1u)));
}

fn lay_a(i: u32, v: vec4f) {
    let to = i / (A_WIDTH / 4u) * A_STRIDE + i % (A_WIDTH / 4u);
    let high = rounded(v);
    at[to] = vec4<f16>(high);
    if (HALVES == 2u) { at[LOW * A_SIZE + to] = vec4<f16>((v - high) * 2048.0); }
}

fn lay_b(i: u32, v: vec4f) {
    let to = i / (B_WIDTH / 4u) * B_STRIDE + i % (B_WIDTH / 4u);
    let high = rounded(v);
    bt[to] = vec4<f16>(high);
    if (HALVES == 2u) { bt[LOW * B_SIZE + to] = vec4<f16>((v - high) * 2048.0); }
}

@compute @workgroup_size(4u * LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
        @builtin(subgroup_id) subgroup: u32, @builtin(num_subgroups) subgroups: u32, @builtin(subgroup_invocation_id) place: u32) {
    let wave = min(subgroup, 3u);           // subgroups of other sizes make wrong numbers, but nothing out of bounds
    let m0 = group.y * TILE;
    let n0 = group.x * TILE;
    let mw = wave / 2u * 2u * SIDE;         // where in the tile this subgroup's matrices are
    let nw = wave % 2u * 2u * SIDE;
    let first = group.z * p.per;
    let end = min(p.k, first + p.per);
    var c00 = Sums(); var c01 = Sums(); var c10 = Sums(); var c11 = Sums();
    var x = fetch_a(lane, m0, first);
    var y = fetch_b(lane, n0, first);
    for (var k0 = first; k0 < end; k0 += BK) {
        if (k0 + BK > end) {
            x = all_before(x, lane, A_WIDTH, A_ALONG_K, k0, end);
            y = all_before(y, lane, B_WIDTH, B_ALONG_K, k0, end);
        }
        let most = subgroupMax(vec2f(largest(x), largest(y)));
        if (place == 0u) { peaks[wave] = most; }
        workgroupBarrier();                 // the step before is multiplied, the peaks are there
        let peak = max(max(peaks[0], peaks[1]), max(peaks[2], peaks[3]));
        let sx = scale(peak.x);
        let sy = scale(peak.y);
        for (var i = 0u; i < 4u; i++) { lay_a(lane + i * THREADS, x[i] * sx); }
        for (var i = 0u; i < 4u; i++) { lay_b(lane + i * THREADS, y[i] * sy); }
        workgroupBarrier();
        let next = select(first, k0 + BK, k0 + BK < end);
        x = fetch_a(lane, m0, next);
        y = fetch_b(lane, n0, next);
        var s00 = Sums(); var s01 = Sums(); var s10 = Sums(); var s11 = Sums();
        var t00 = Sums(); var t01 = Sums(); var t10 = Sums(); var t11 = Sums();     // of the low halves
        for (var k = 0u; k < BK; k += SIDE) {
            let ai = A_ALONG_K * (mw * A_STRIDE + k / 4u) + (1u - A_ALONG_K) * (k * A_STRIDE + mw / 4u);
            let aj = ai + A_ALONG_K * SIDE * A_STRIDE + (1u - A_ALONG_K) * SIDE / 4u;
            let bi = B_ALONG_K * (nw * B_STRIDE + k / 4u) + (1u - B_ALONG_K) * (k * B_STRIDE + nw / 4u);
            let bj = bi + B_ALONG_K * SIDE * B_STRIDE + (1u - B_ALONG_K) * SIDE / 4u;
            var a0: Left; var a1: Left; var b0: Right; var b1: Right;
            if (A_ALONG_K == 1u) { a0 = coopLoadT<Left>(&at[ai], A_STRIDE); a1 = coopLoadT<Left>(&at[aj], A_STRIDE); }
            else { a0 = coopLoad<Left>(&at[ai], A_STRIDE); a1 = coopLoad<Left>(&at[aj], A_STRIDE); }
            if (B_ALONG_K == 1u) { b0 = coopLoad<Right>(&bt[bi], B_STRIDE); b1 = coopLoad<Right>(&bt[bj], B_STRIDE); }
            else { b0 = coopLoadT<Right>(&bt[bi], B_STRIDE); b1 = coopLoadT<Right>(&bt[bj], B_STRIDE); }
            s00 = coopMultiplyAdd(a0, b0, s00);
            s01 = coopMultiplyAdd(a0, b1, s01);
            s10 = coopMultiplyAdd(a1, b0, s10);
            s11 = coopMultiplyAdd(a1, b1, s11);
            if (HALVES == 2u) {
                let al = LOW * A_SIZE;
                let bl = LOW * B_SIZE;
                var d0: Left; var d1: Left; var e0: Right; var e1: Right;
                if (A_ALONG_K == 1u) { d0 = coopLoadT<Left>(&at[al + ai], A_STRIDE); d1 = coopLoadT<Left>(&at[al + aj], A_STRIDE); }
                else { d0 = coopLoad<Left>(&at[al + ai], A_STRIDE); d1 = coopLoad<Left>(&at[al + aj], A_STRIDE); }
                if (B_ALONG_K == 1u) { e0 = coopLoad<Right>(&bt[bl + bi], B_STRIDE); e1 = coopLoad<Right>(&bt[bl + bj], B_STRIDE); }
                else { e0 = coopLoadT<Right>(&bt[bl + bi], B_STRIDE); e1 = coopLoadT<Right>(&bt[bl + bj], B_STRIDE); }
                t00 = coopMultiplyAdd(d0, b0, coopMultiplyAdd(a0, e0, t00));
                t01 = coopMultiplyAdd(d0, b1, coopMultiplyAdd(a0, e1, t01));
                t10 = coopMultiplyAdd(d1, b0, coopMultiplyAdd(a1, e0, t10));
                t11 = coopMultiplyAdd(d1, b1, coopMultiplyAdd(a1, e1, t11));
            }
        }
        if (HALVES == 2u) {
            s00 = s00 + t00 * (1.0 / 2048.0);
            s01 = s01 + t01 * (1.0 / 2048.0);
            s10 = s10 + t10 * (1.0 / 2048.0);
            s11 = s11 + t11 * (1.0 / 2048.0);
        }
        let ix = inverse(sx);
        let iy = inverse(sy);
        c00 = c00 + s00 * ix * iy;
        c01 = c01 + s01 * ix * iy;
        c10 = c10 + s10 * ix * iy;
        c11 = c11 + s11 * ix * iy;
    }
    let n = n0 + nw;
    if (p.bias == 1u) {
        let left = coopLoadT<Sums>(&bias[n], 0u);                   // its row repeated
        let right = coopLoadT<Sums>(&bias[n + SIDE], 0u);
        c00 = c00 + left;
        c01 = c01 + right;
        c10 = c10 + left;
        c11 = c11 + right;
    }
    let stride = p.c_m;
    let i00 = p.c_0 + group.z * p.c_z + (m0 + mw) * stride + n;
    let i01 = i00 + SIDE;
    let i10 = i00 + SIDE * stride;
    let i11 = i10 + SIDE;
    if (p.add == 1u) {
        c00 = c00 + coopLoadT<Sums>(&c[i00], stride);
        c01 = c01 + coopLoadT<Sums>(&c[i01], stride);
        c10 = c10 + coopLoadT<Sums>(&c[i10], stride);
        c11 = c11 + coopLoadT<Sums>(&c[i11], stride);
    }
    // every argument of a store must be a let: naga 30 forgets others
    let v00 = c00;
    let v01 = c01;
    let v10 = c10;
    let v11 = c11;
    coopStoreT(v00, &c[i00], stride);
    coopStoreT(v01, &c[i01], stride);
    coopStoreT(v10, &c[i10], stride);
    coopStoreT(v11, &c[i11], stride);
    if (subgroups != 4u && lane == 0u) { c[i00] = bitcast<f32>(0x7fc00000u); }      // refuse, visibly
}
