//! A tile of 6 rows and 2 AVX2 vectors: 12 of the 16 registers are sums.

use super::{Tile, TileArgs};
use std::arch::x86_64::*;

pub struct Avx2;

impl Tile for Avx2 {
    const MR: usize = 6;
    const NR: usize = 16;
    const KC: usize = 384;
    const MASKED: bool = false;

    unsafe fn run(t: TileArgs) {
        // SAFETY: as this function's
        unsafe {
            match t.rows {
                1 => tile::<1>(t),
                2 => tile::<2>(t),
                3 => tile::<3>(t),
                4 => tile::<4>(t),
                5 => tile::<5>(t),
                _ => tile::<6>(t),
            }
        }
    }
}

/// Ones for the first `count` of eight lanes.
#[target_feature(enable = "avx2")]
fn first(count: usize) -> __m256i {
    _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
}

#[target_feature(enable = "avx2,fma")]
unsafe fn tile<const MR: usize>(t: TileArgs) {
    unsafe {
        let mut sum = [[_mm256_setzero_ps(); 2]; MR];
        let (mut a, mut b) = (t.a, t.b);
        // A panel that is narrower than a tile is packed, and padded with zeros: B is read whole.
        for _ in 0..t.depth {
            let row = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for i in 0..MR {
                let x = _mm256_set1_ps(*a.add(i * t.a_row));
                sum[i][0] = _mm256_fmadd_ps(x, row[0], sum[i][0]);
                sum[i][1] = _mm256_fmadd_ps(x, row[1], sum[i][1]);
            }
            a = a.wrapping_add(t.a_col);
            b = b.wrapping_add(t.b_row);
        }
        let mask = [first(t.cols.min(8)), first(t.cols.saturating_sub(8))];
        for i in 0..MR {
            for v in 0..2 {
                if !t.start.is_null() {
                    let start = _mm256_maskload_ps(t.start.wrapping_add(i * t.start_row + v * 8), mask[v]);
                    sum[i][v] = _mm256_add_ps(sum[i][v], start);
                }
                _mm256_maskstore_ps(t.c.wrapping_add(i * t.c_row + v * 8), mask[v], sum[i][v]);
            }
        }
    }
}
