//! A tile of AMX: an instruction multiplies 16 rows by 16 columns, 32 numbers of bf16 deep, and adds up in f32.
//!
//! Operands are words of two numbers, as for AVX-512: 16 words of 16 rows of A fill a register, as do 16 columns of 16
//! rows of a panel of B. Four registers are sums of 32 × 32; two hold rows of A and two columns of B. The compiler has
//! no stable names for these instructions, so they stand as they are, each block from the shapes to the release.

use super::{Tile, TileArgs, panels};
use std::arch::asm;

pub struct Amx;

/// Rows and columns of the sums that are made at a time.
const SIDE: usize = 32;
/// Words of a row of a register.
const WORDS: usize = 16;

/// What `ldtilecfg` reads: eight registers of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    reserved: [u8; 15],
    bytes: [u16; 16],
    rows: [u8; 16],
}
static SHAPES: Shapes = Shapes {
    palette: 1,
    reserved: [0; 15],
    bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

impl Tile for Amx {
    const MR: usize = SIDE;
    const NR: usize = panels::WIDTH;
    const KC: usize = 512;
    const MASKED: bool = false;
    const DEPTH: usize = WORDS;
    const SPEED: usize = 8;

    unsafe fn run(t: TileArgs) {
        assert!(t.a_col == 1 && t.b_row == panels::WIDTH);
        for j in (0..t.cols).step_by(SIDE) {
            let cols = SIDE.min(t.cols - j);
            // SAFETY: as this function's; an edge is made beside C.
            unsafe {
                let (a, b, c) = (t.a, t.b.add(j), t.c.add(j));
                let start = if t.start.is_null() { t.start } else { t.start.add(j) };
                if t.rows == SIDE && cols == SIDE {
                    sums(a, t.a_row, b, t.depth, (start, t.start_row), (c, t.c_row));
                    continue;
                }
                let mut edge = [0.0f32; SIDE * SIDE];
                let edge = edge.as_mut_ptr();
                if !start.is_null() {
                    for i in 0..t.rows {
                        edge.add(i * SIDE).copy_from_nonoverlapping(start.add(i * t.start_row), cols);
                    }
                }
                sums(a, t.a_row, b, t.depth, (edge, SIDE), (edge, SIDE));
                for i in 0..t.rows {
                    c.add(i * t.c_row).copy_from_nonoverlapping(edge.add(i * SIDE), cols);
                }
            }
        }
    }
}

/// c [32, 32] = start (zero if null) + a [32, depth words] · b [depth words, 32]. What is beyond the depth, up to a
/// multiple of 16, is zero in both.
///
/// # Safety
/// The processor has AMX, and the pointers reach that far.
unsafe fn sums(
    a: *const f32,
    a_row: usize,
    b: *const f32,
    depth: usize,
    (start, start_row): (*const f32, usize),
    (c, c_row): (*mut f32, usize),
) {
    // SAFETY: as this function's.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]", // and all are zero
            "test {start}, {start}",
            "jz 2f",
            "tileloadd tmm0, [{start} + {start_row}]",
            "tileloadd tmm1, [{start} + {start_row} + 64]",
            "shl {start_row}, 4",
            "add {start}, {start_row}",
            "shr {start_row}, 4",
            "tileloadd tmm2, [{start} + {start_row}]",
            "tileloadd tmm3, [{start} + {start_row} + 64]",
            "2:",
            "test {steps}, {steps}",
            "jz 4f",
            "3:",
            "tileloadd tmm4, [{a} + {a_row}]",
            "tileloadd tmm6, [{b} + {b_row}]",
            "tileloadd tmm7, [{b} + {b_row} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{low} + {a_row}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, 64",
            "add {low}, 64",
            "add {b}, {b_step}",
            "dec {steps}",
            "jnz 3b",
            "4:",
            "tilestored [{c} + {c_row}], tmm0",
            "tilestored [{c} + {c_row} + 64], tmm1",
            "shl {c_row}, 4",
            "add {c}, {c_row}",
            "shr {c_row}, 4",
            "tilestored [{c} + {c_row}], tmm2",
            "tilestored [{c} + {c_row} + 64], tmm3",
            "tilerelease",
            shapes = in(reg) &SHAPES,
            start = inout(reg) start => _,
            start_row = inout(reg) 4 * start_row => _,
            a = inout(reg) a => _,
            low = inout(reg) a.wrapping_add(WORDS * a_row) => _,
            a_row = in(reg) 4 * a_row,
            b = inout(reg) b => _,
            b_row = in(reg) 4 * panels::WIDTH,
            b_step = const 4 * WORDS * panels::WIDTH,
            steps = inout(reg) depth.div_ceil(WORDS) => _,
            c = inout(reg) c => _,
            c_row = inout(reg) 4 * c_row => _,
            options(nostack),
        );
    }
}

/// Products in registers alone, for the roof. Returns their operations.
///
/// # Safety
/// The processor has AMX.
pub unsafe fn products(rounds: usize) -> usize {
    // SAFETY: as this function's.
    unsafe {
        asm!(
            "ldtilecfg [{shapes}]",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            "tilerelease",
            shapes = in(reg) &SHAPES,
            rounds = inout(reg) rounds => _,
            options(nostack),
        );
    }
    rounds * 4 * 2 * (16 * 16 * 32)
}
