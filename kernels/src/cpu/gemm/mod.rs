//! The matrix product: C = A B, C += A B or C = A B + bias.
//!
//! C is cut in strips of `NR` columns. A strip walks K in blocks; for each block it packs `KC × NR` numbers of B,
//! which then stay in the first-level cache while the rows of A pass by, `MR` at a time. A tile of `MR × NR` sums
//! lives in registers. A is read where it lies: a tile needs one number of each of its rows at a time, whatever
//! the stride, so all three forms (NN, NT, TN) are the same loop and only the packing differs.
//!
//! Every element of C is one chain of multiply-adds in the order of k, whichever tile it falls in, so neither the
//! cutting nor the number of threads can be seen in the result. What is already small stays simple: B is not packed
//! where it would hardly pay, and a few rows times Wᵀ (decoding) are turned so that every weight is read once.
//!
//! The design follows Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), with the
//! packing of A left out.
//!
//! In bf16 both operands are rounded while they are packed, A beforehand, and the products summed in f32.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
mod few;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod transpose;

use super::par::{self, Block};
use super::simd::{Level, level};
use crate::matmul::Precision;
pub use few::{FEW, FEW_STORED, Stored, few};
use std::cell::RefCell;
use std::ops::Range;
pub use transpose::transpose;

/// An operand where it lies: element (i, j) is `data[i * row + j * col]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    pub data: &'a [f32],
    pub row: usize,
    pub col: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other, `width` long.
    pub fn new(data: &'a [f32], width: usize) -> Matrix<'a> {
        Matrix { data, row: width, col: 1 }
    }

    pub fn transposed(self) -> Matrix<'a> {
        Matrix { row: self.col, col: self.row, ..self }
    }

    fn check(&self, rows: usize, cols: usize) {
        if rows > 0 && cols > 0 {
            let last = (rows - 1) * self.row + (cols - 1) * self.col;
            assert!(
                last < self.data.len(),
                "a {rows} × {cols} operand needs {} numbers, has {}",
                last + 1,
                self.data.len()
            );
        }
    }
}

/// What C holds before the products are added.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    Zero,
    /// What it holds now: C += A B
    Old,
    /// The same row of N numbers everywhere
    Bias(&'a [f32]),
}

/// A block of C in registers.
trait Tile {
    /// Rows and columns of a tile, and how many k are packed at a time.
    const MR: usize;
    const NR: usize;
    const KC: usize;
    /// Does a tile read no more columns of B than it has?
    const MASKED: bool;

    /// C(i, j) = start(i, j) + Σ_k A(i, k) B(k, j) for i < `t.rows` ≤ MR, j < `t.cols` ≤ NR.
    ///
    /// # Safety
    /// The pointers of `t` must reach what its numbers say, and the processor must have the instructions.
    unsafe fn run(t: TileArgs);
}

#[derive(Clone, Copy)]
struct TileArgs {
    rows: usize,
    cols: usize,
    depth: usize,
    a: *const f32,
    a_row: usize,
    a_col: usize,
    b: *const f32,
    b_row: usize,
    /// Null for zeros.
    start: *const f32,
    start_row: usize,
    c: *mut f32,
    c_row: usize,
}

/// c [m, n] = start + a [m, k] · b [k, n], on all cores where it is large enough to gain.
pub fn gemm(precision: Precision, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, start: Start, c: &mut [f32]) {
    assert_eq!(c.len(), m * n, "the product is {m} × {n}");
    if n == 0 {
        return;
    }
    let (c, spread) = (Block::new(c, n, n), m * n * k >= ONE_THREAD);
    if let Start::Bias(bias) = start {
        assert_eq!(bias.len(), n, "a bias for {n} columns");
    }
    match precision {
        Precision::F32 => product(k, a, b, start, c, spread),
        Precision::Bf16 => bf16::product(k, a, b, start, c, spread),
    }
}

/// c = start + a [rows of c, k] · b [k, columns of c], on this thread: for use inside a task.
pub fn gemm_here(k: usize, a: Matrix, b: Matrix, start: Start, c: Block) {
    product(k, a, b, start, c, false);
}

fn product(k: usize, a: Matrix, b: Matrix, start: Start, mut c: Block, spread: bool) {
    let [m, n] = c.size();
    a.check(m, k);
    b.check(k, n);
    if m == 0 || n == 0 {
        return;
    }
    let (c, c_row) = c.raw();
    let product = Product { m, n, k, a, b, pack: Pack::Numbers, start, c: Out(c), c_row, spread };
    match level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => product.run::<avx512::Avx512>(),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => product.run::<avx2::Avx2>(),
        #[cfg(target_arch = "aarch64")]
        Level::Neon => product.run::<neon::Neon>(),
        _ => product.run::<portable::Portable>(),
    }
}

/// Products of fewer multiply-adds than this stay on one thread.
const ONE_THREAD: usize = 1 << 18;
/// A packed panel of B has at most this many numbers (32 KiB).
const PANEL: usize = 8192;

#[repr(align(64))]
struct Panel([f32; PANEL]);

thread_local! {
    static PANEL_OF_THREAD: RefCell<Box<Panel>> = RefCell::new(Box::new(Panel([0.0; PANEL])));
}

struct Product<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Matrix<'a>,
    pack: Pack,
    start: Start<'a>,
    c: Out,
    c_row: usize,
    /// Over all cores?
    spread: bool,
}

/// How a panel of B is made.
#[derive(Clone, Copy)]
enum Pack {
    Numbers,
    /// Words of two numbers in bf16, of which the last may lack the second: B has `k` rows, the product half as many.
    #[cfg(target_arch = "x86_64")]
    Pairs {
        k: usize,
    },
}

/// Where C starts. Tasks write distinct parts of it.
struct Out(*mut f32);
unsafe impl Send for Out {}
unsafe impl Sync for Out {}

impl Product<'_> {
    fn run<T: Tile>(&self) {
        let strips = self.n.div_ceil(T::NR);
        if !self.spread {
            return (0..strips).for_each(|s| self.strip::<T>(s, 0..self.m));
        }
        // Cut the rows too, in blocks tall enough to pay for packing the strip's part of B again.
        let tiles = self.m.div_ceil(T::MR);
        let blocks = (32 / strips).clamp(1, (self.m / 128).max(1));
        let tall = tiles.div_ceil(blocks) * T::MR;
        let blocks = self.m.div_ceil(tall);
        par::tasks(blocks * strips, |task| {
            let top = task / strips * tall;
            self.strip::<T>(task % strips, top..(top + tall).min(self.m));
        });
    }

    /// One strip of columns of C, some of its rows.
    fn strip<T: Tile>(&self, strip: usize, rows: Range<usize>) {
        assert!(T::KC * T::NR <= PANEL);
        let left = strip * T::NR;
        let cols = T::NR.min(self.n - left);
        // Equal blocks of k; an empty product still has to write its start.
        let blocks = self.k.div_ceil(T::KC).max(1);
        let deep = self.k.div_ceil(blocks);
        // B's rows are read where they lie when they already are a panel, or when packing would hardly pay; and when
        // a whole tile may be read there.
        let panel_like = self.b.row <= T::NR || rows.len() <= 8 * T::MR;
        let width = if T::MASKED { cols } else { T::NR };
        let in_place = self.k > 0 && (self.k - 1) * self.b.row + left + width <= self.b.data.len();
        let packed = !(matches!(self.pack, Pack::Numbers) && self.b.col == 1 && panel_like && in_place);
        PANEL_OF_THREAD.with_borrow_mut(|panel| {
            for block in 0..blocks {
                let top = block * deep;
                let depth = deep.min(self.k - top);
                let (b, b_row) = if packed {
                    let (ks, js) = (top..top + depth, left..left + cols);
                    match self.pack {
                        Pack::Numbers => pack(&self.b, ks, js, T::NR, &mut panel.0),
                        #[cfg(target_arch = "x86_64")]
                        Pack::Pairs { k } => bf16::pack(&self.b, k, ks, js, T::NR, &mut panel.0),
                    }
                    (panel.0.as_ptr(), T::NR)
                } else {
                    (self.b.data[top * self.b.row + left..].as_ptr(), self.b.row)
                };
                for i in rows.clone().step_by(T::MR) {
                    // SAFETY: `gemm` checked that the operands are as large as m, n and k say; tasks own
                    // distinct parts of C.
                    unsafe { self.tile::<T>(i..rows.end.min(i + T::MR), left..left + cols, top, depth, b, b_row) }
                }
            }
        });
    }

    unsafe fn tile<T: Tile>(
        &self,
        rows: Range<usize>,
        cols: Range<usize>,
        top: usize,
        depth: usize,
        b: *const f32,
        b_row: usize,
    ) {
        unsafe {
            let c = self.c.0.add(rows.start * self.c_row + cols.start);
            let (start, start_row) = match self.start {
                _ if top > 0 => (c as *const f32, self.c_row),
                Start::Old => (c as *const f32, self.c_row),
                Start::Zero => (std::ptr::null(), 0),
                Start::Bias(bias) => (bias.as_ptr().add(cols.start), 0),
            };
            T::run(TileArgs {
                rows: rows.len(),
                cols: cols.len(),
                depth,
                a: self.a.data.as_ptr().wrapping_add(rows.start * self.a.row + top * self.a.col),
                a_row: self.a.row,
                a_col: self.a.col,
                b,
                b_row,
                start,
                start_row,
                c,
                c_row: self.c_row,
            });
        }
    }
}

/// Copies B(k, j) to `panel[k * width + j]`; columns beyond the last are zero.
fn pack(b: &Matrix, ks: Range<usize>, js: Range<usize>, width: usize, panel: &mut [f32; PANEL]) {
    if b.col == 1 {
        for (k, row) in ks.zip(panel.chunks_exact_mut(width)) {
            let (row, pad) = row.split_at_mut(js.len());
            row.copy_from_slice(&b.data[k * b.row + js.start..][..row.len()]);
            pad.fill(0.0);
        }
    } else {
        assert_eq!(b.row, 1, "an operand has one dense axis");
        if js.len() < width {
            panel[..ks.len() * width].fill(0.0);
        }
        // B(k, j) = data[k + j * col]: a transposition
        transpose(&b.data[js.start * b.col + ks.start..], b.col, js.len(), ks.len(), panel, width);
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::each_level;
    use super::super::test::noise;
    use super::*;

    const SHAPES: [[usize; 3]; 18] = [
        [1, 1, 1],
        [1, 5, 3],
        [5, 1, 7],
        [2, 64, 64],
        [7, 17, 33],
        [6, 64, 128],
        [13, 65, 129],
        [16, 48, 40],
        [33, 31, 1],
        [3, 4, 0],
        [100, 70, 300],
        [64, 200, 65],
        [257, 130, 100],
        [300, 600, 70],
        [1, 300, 70],
        [16, 700, 33],
        [128, 70, 300],
        [256, 64, 512],
    ];

    /// Every form, start and precision against plain loops in f64.
    #[test]
    fn every_level_every_form() {
        each_level(|level| {
            for precision in [Precision::F32, Precision::Bf16] {
                every_form(level, precision);
            }
        });
    }

    fn every_form(level: Level, precision: Precision) {
        for (s, [m, n, k]) in SHAPES.into_iter().enumerate() {
            let (a, b) = (noise(m * k, s as u32), noise(k * n, 100 + s as u32));
            let round = |x: &[f32]| x.iter().map(|&x| precision.round(x)).collect::<Vec<_>>();
            let (a64, b64) = (round(&a), round(&b));
            let (old, bias) = (noise(m * n, 200), noise(n, 300));
            for form in ["NN", "NT", "TN", "TT"] {
                let wide = |t: bool, rows, cols, data| match t {
                    false => Matrix::new(data, cols),
                    true => Matrix::new(data, rows).transposed(),
                };
                let (am, bm) = (wide(&form[..1] == "T", m, k, &a), wide(&form[1..] == "T", k, n, &b));
                for (name, start) in [("zero", Start::Zero), ("old", Start::Old), ("bias", Start::Bias(&bias))] {
                    let mut c = old.clone();
                    gemm(precision, [m, n, k], am, bm, start, &mut c);
                    let (am, bm) = (Matrix { data: &a64, ..am }, Matrix { data: &b64, ..bm });
                    for i in 0..m {
                        for j in 0..n {
                            let from = match start {
                                Start::Zero => 0.0,
                                Start::Old => old[i * n + j] as f64,
                                Start::Bias(bias) => bias[j] as f64,
                            };
                            let at = |m: &Matrix, i, j| m.data[i * m.row + j * m.col] as f64;
                            let want = from + (0..k).map(|l| at(&am, i, l) * at(&bm, l, j)).sum::<f64>();
                            let got = c[i * n + j] as f64;
                            let close = (got - want).abs() <= 1e-6 * (k as f64).sqrt().max(1.0) * 4.0;
                            assert!(
                                close,
                                "{level:?} {precision:?} {form} {name} {m}×{n}×{k} at ({i}, {j}): {got} for {want}"
                            );
                        }
                    }
                }
            }
        }
    }

    /// Columns and rows alone, so cut otherwise than in the whole product.
    #[test]
    fn the_cut_leaves_no_mark() {
        each_level(|level| {
            let [m, n, k] = [517, 200, 300];
            let (a, b) = (noise(m * k, 1), noise(k * n, 2));
            let mut whole = vec![0.0; m * n];
            let product = |dims, a, c: &mut [f32]| {
                gemm(Precision::F32, dims, Matrix::new(a, k), Matrix::new(&b, n), Start::Zero, c)
            };
            product([m, n, k], &a, &mut whole);
            for i in [0, 3, 200, 516] {
                let mut row = vec![0.0; n];
                product([1, n, k], &a[i * k..], &mut row);
                assert!(row == whole[i * n..][..n], "{level:?} row {i}");
            }
        });
    }
}
