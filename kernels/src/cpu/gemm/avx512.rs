//! A tile of 6 rows and 4 AVX-512 vectors: 24 of the 32 registers are sums.

use super::{Tile, TileArgs};
use std::arch::x86_64::*;

pub struct Avx512;
/// The same tile on pairs of bf16: a 32-bit word of A or B holds the numbers of two neighbouring k.
pub struct Avx512Bf16;

/// A tile for one multiply-add instruction. (A macro, since a closure would not be compiled with the features.)
macro_rules! tile {
    ($tile:ty, $depth:literal, $features:literal, $multiply_add:expr) => {
        impl Tile for $tile {
            const MR: usize = 6;
            const NR: usize = 64;
            const KC: usize = $depth;
            const MASKED: bool = true;

            unsafe fn run(t: TileArgs) {
                // SAFETY: as this function's
                unsafe {
                    match t.rows {
                        1 => by_columns::<1>(t),
                        2 => by_columns::<2>(t),
                        3 => by_columns::<3>(t),
                        4 => by_columns::<4>(t),
                        5 => by_columns::<5>(t),
                        _ => by_columns::<6>(t),
                    }
                }
            }
        }

        #[inline(always)]
        unsafe fn by_columns<const MR: usize>(t: TileArgs) {
            unsafe {
                match (t.cols.div_ceil(16), t.cols.is_multiple_of(16)) {
                    (1, true) => tile::<MR, 1, false>(t),
                    (1, false) => tile::<MR, 1, true>(t),
                    (2, true) => tile::<MR, 2, false>(t),
                    (2, false) => tile::<MR, 2, true>(t),
                    (3, true) => tile::<MR, 3, false>(t),
                    (3, false) => tile::<MR, 3, true>(t),
                    (_, true) => tile::<MR, 4, false>(t),
                    (_, false) => tile::<MR, 4, true>(t),
                }
            }
        }

        /// `MR` rows, `NV` vectors of 16 columns, the last of them in part where `MASKED` (masked stores are slow).
        #[target_feature(enable = $features)]
        unsafe fn tile<const MR: usize, const NV: usize, const MASKED: bool>(t: TileArgs) {
            unsafe {
                // A mask of ones known to the compiler becomes a plain load or store.
                let last: __mmask16 = if MASKED { 0xffff >> (NV * 16 - t.cols) } else { 0xffff };
                let mask = |v: usize| if MASKED && v == NV - 1 { last } else { 0xffff };
                let mut sum = [[_mm512_setzero_ps(); NV]; MR];
                for i in 0..MR {
                    for v in 0..NV {
                        _mm_prefetch::<_MM_HINT_T0>(t.c.wrapping_add(i * t.c_row + v * 16) as *const i8);
                    }
                }
                let (mut a, mut b) = (t.a, t.b);
                for _ in 0..t.depth {
                    let mut row = [_mm512_setzero_ps(); NV];
                    for v in 0..NV {
                        row[v] = _mm512_maskz_loadu_ps(mask(v), b.wrapping_add(v * 16));
                    }
                    for i in 0..MR {
                        let x = _mm512_set1_ps(*a.wrapping_add(i * t.a_row));
                        for v in 0..NV {
                            sum[i][v] = $multiply_add(x, row[v], sum[i][v]);
                        }
                    }
                    a = a.wrapping_add(t.a_col);
                    b = b.wrapping_add(t.b_row);
                }
                for i in 0..MR {
                    for v in 0..NV {
                        if !t.start.is_null() {
                            let start = _mm512_maskz_loadu_ps(mask(v), t.start.wrapping_add(i * t.start_row + v * 16));
                            sum[i][v] = _mm512_add_ps(sum[i][v], start);
                        }
                        _mm512_mask_storeu_ps(t.c.wrapping_add(i * t.c_row + v * 16), mask(v), sum[i][v]);
                    }
                }
            }
        }
    };
}

mod numbers {
    use super::*;
    tile!(Avx512, 1024, "avx512f", _mm512_fmadd_ps);
}

mod pairs {
    use super::*;

    tile!(Avx512Bf16, 512, "avx512f,avx512bf16", multiply_add);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply_add(x: __m512, y: __m512, sum: __m512) -> __m512 {
        // SAFETY: the same 64 bytes, as pairs.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                std::mem::transmute::<__m512, __m512bh>(x),
                std::mem::transmute::<__m512, __m512bh>(y),
            )
        }
    }
}
