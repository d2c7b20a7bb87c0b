//! Transposition, in squares that fit in registers.

#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::isa;

/// out[k * width + j] = from[j * stride + k] for j < `rows`, k < `depth`
pub fn transpose(from: &[f32], stride: usize, rows: usize, depth: usize, out: &mut [f32], width: usize) {
    if rows == 0 || depth == 0 {
        return;
    }
    assert!(rows <= width && (rows - 1) * stride + depth <= from.len() && (depth - 1) * width + rows <= out.len());
    #[cfg(target_arch = "x86_64")]
    if isa().has_avx512() {
        for k in (0..depth).step_by(16) {
            for j in (0..rows).step_by(16) {
                let (rows, depth) = (16.min(rows - j), 16.min(depth - k));
                // SAFETY: the square is in bounds by the assertion above.
                unsafe {
                    let (from, out) = (from.as_ptr().add(j * stride + k), out.as_mut_ptr().add(k * width + j));
                    if rows == 16 && depth == 16 {
                        square_avx512::<true>(from, stride, rows, depth, out, width);
                    } else {
                        square_avx512::<false>(from, stride, rows, depth, out, width);
                    }
                }
            }
        }
        return;
    }
    for k0 in (0..depth).step_by(16) {
        let end = depth.min(k0 + 16);
        for j in 0..rows {
            for k in k0..end {
                out[k * width + j] = from[j * stride + k];
            }
        }
    }
}

/// 16 × 16, or less at the edges: pairs, fours, then 128-bit lanes change places.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn square_avx512<const FULL: bool>(
    from: *const f32,
    stride: usize,
    rows: usize,
    depth: usize,
    out: *mut f32,
    width: usize,
) {
    use std::arch::x86_64::*;
    // Masks cut the edges off. (One of ones known to the compiler becomes a plain load or store, which is faster.)
    let (in_row, in_column): (__mmask16, __mmask16) = (0xffff >> (16 - depth), 0xffff >> (16 - rows));
    let (in_row, in_column) = if FULL { (0xffff, 0xffff) } else { (in_row, in_column) };
    let mut r = [_mm512_setzero_ps(); 16];
    let mut t = r;
    for j in 0..16 {
        // The processor does not follow so many rows at once.
        super::pack::prefetch(from.wrapping_add(j * stride + 32), 1);
        let in_row = if FULL || j < rows { in_row } else { 0 };
        r[j] = unsafe { _mm512_maskz_loadu_ps(in_row, from.wrapping_add(j * stride)) };
    }
    for i in (0..16).step_by(2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    let pairs = |lo: bool, a: __m512, b: __m512| {
        let (a, b) = (_mm512_castps_pd(a), _mm512_castps_pd(b));
        _mm512_castpd_ps(if lo { _mm512_unpacklo_pd(a, b) } else { _mm512_unpackhi_pd(a, b) })
    };
    for i in (0..16).step_by(4) {
        // r[i + c]: in lane l, column 4l + c of rows i..i + 4
        r[i] = pairs(true, t[i], t[i + 2]);
        r[i + 1] = pairs(false, t[i], t[i + 2]);
        r[i + 2] = pairs(true, t[i + 1], t[i + 3]);
        r[i + 3] = pairs(false, t[i + 1], t[i + 3]);
    }
    for c in 0..4 {
        t[c] = _mm512_shuffle_f32x4::<0x88>(r[c], r[4 + c]);
        t[4 + c] = _mm512_shuffle_f32x4::<0xdd>(r[c], r[4 + c]);
        t[8 + c] = _mm512_shuffle_f32x4::<0x88>(r[8 + c], r[12 + c]);
        t[12 + c] = _mm512_shuffle_f32x4::<0xdd>(r[8 + c], r[12 + c]);
    }
    for c in 0..4 {
        r[c] = _mm512_shuffle_f32x4::<0x88>(t[c], t[8 + c]);
        r[8 + c] = _mm512_shuffle_f32x4::<0xdd>(t[c], t[8 + c]);
        r[4 + c] = _mm512_shuffle_f32x4::<0x88>(t[4 + c], t[12 + c]);
        r[12 + c] = _mm512_shuffle_f32x4::<0xdd>(t[4 + c], t[12 + c]);
    }
    for k in 0..16 {
        if FULL || k < depth {
            unsafe { _mm512_mask_storeu_ps(out.wrapping_add(k * width), in_column, r[k]) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::each_isa;

    #[test]
    fn squares_and_edges() {
        each_isa(|isa| {
            for (rows, depth) in [(1, 1), (16, 16), (5, 40), (37, 19), (64, 3)] {
                let (stride, width) = (depth + 2, rows + 3);
                let from: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
                let mut out = vec![-1.0; depth * width];
                transpose(&from, stride, rows, depth, &mut out, width);
                for k in 0..depth {
                    for j in 0..width {
                        let want = if j < rows { from[j * stride + k] } else { -1.0 };
                        assert_eq!(out[k * width + j], want, "{isa:?} {rows}×{depth} at ({j}, {k})");
                    }
                }
            }
        });
    }
}
