//! A tile of 8 rows and 2 NEON vectors: 16 of the 32 registers are sums.

use super::{Tile, TileArgs};
use std::arch::aarch64::*;

pub struct Neon;

impl Tile for Neon {
    const MR: usize = 8;
    const NR: usize = 8;
    const KC: usize = 512;
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
                6 => tile::<6>(t),
                7 => tile::<7>(t),
                _ => tile::<8>(t),
            }
        }
    }
}

#[target_feature(enable = "neon")]
unsafe fn tile<const MR: usize>(t: TileArgs) {
    unsafe {
        let mut sum = [[vdupq_n_f32(0.0); 2]; MR];
        let (mut a, mut b) = (t.a, t.b);
        // A panel that is narrower than a tile is packed, and padded with zeros: B is read whole.
        for _ in 0..t.depth {
            let row = [vld1q_f32(b), vld1q_f32(b.add(4))];
            for i in 0..MR {
                let x = *a.add(i * t.a_row);
                sum[i][0] = vfmaq_n_f32(sum[i][0], row[0], x);
                sum[i][1] = vfmaq_n_f32(sum[i][1], row[1], x);
            }
            a = a.wrapping_add(t.a_col);
            b = b.wrapping_add(t.b_row);
        }
        for i in 0..MR {
            let mut out = [0.0; 8];
            vst1q_f32(out.as_mut_ptr(), sum[i][0]);
            vst1q_f32(out.as_mut_ptr().add(4), sum[i][1]);
            for j in 0..t.cols {
                let start = if t.start.is_null() { 0.0 } else { *t.start.add(i * t.start_row + j) };
                *t.c.add(i * t.c_row + j) = out[j] + start;
            }
        }
    }
}
