//! The tile without instructions of its own: what the others are tested against, and all that other machines need.

use super::{Tile, TileArgs};

pub struct Portable;

const MR: usize = 4;
const NR: usize = 8;

impl Tile for Portable {
    const MR: usize = MR;
    const NR: usize = NR;
    const KC: usize = 512;
    const MASKED: bool = false;

    unsafe fn run(t: TileArgs) {
        // SAFETY: as this function's
        unsafe {
            let mut sum = [[0.0; NR]; MR];
            let a_row = |i: usize| i.min(t.rows - 1) * t.a_row; // rows beyond the last repeat it, and are not stored
            for k in 0..t.depth {
                let row = &*(t.b.add(k * t.b_row) as *const [f32; NR]);
                for i in 0..MR {
                    let x = *t.a.add(a_row(i) + k * t.a_col);
                    for j in 0..NR {
                        sum[i][j] += x * row[j];
                    }
                }
            }
            for i in 0..t.rows {
                for j in 0..t.cols {
                    let start = if t.start.is_null() { 0.0 } else { *t.start.add(i * t.start_row + j) };
                    *t.c.add(i * t.c_row + j) = sum[i][j] + start;
                }
            }
        }
    }
}
