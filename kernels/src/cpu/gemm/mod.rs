//! The matrix product: C = A B, C += A B or C = A B + bias.
//!
//! C is cut in strips of `NR` columns. K is walked in blocks; for each block a strip packs `KC × NR` numbers of B, which
//! stay in the second-level cache while the rows of A pass by, `MR` at a time. A tile of `MR × NR` sums lives in
//! registers. A is read where it lies, a number of each of the tile's rows at a time; only where its columns are dense
//! and its rows are not (the gradient of a weight) is a block of it gathered first, for several strips, whose panels are
//! then kept for all such blocks. So all three forms (NN, NT, TN) are the same loop.
//!
//! Every element of C is one chain of multiply-adds in the order of k, whichever tile it falls in, so neither the
//! cutting nor the number of threads can be seen in the result. What is already small stays simple: B is not packed
//! where it would hardly pay, and a few rows times Wᵀ (decoding) are turned so that every weight is read once.
//!
//! The design follows Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), with the
//! packing of A left out where it can be. Every thread gathers and packs for itself: what another core has written is
//! slow to read, slower than memory when the cores share no cache.
//!
//! In bf16 both operands are rounded while they are gathered and packed, and the products summed in f32.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
mod few;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod panels;
mod portable;
#[cfg(test)]
mod tests;
mod transpose;

use super::crew;
use super::par::{self, Block};
use super::simd::{Level, level};
use crate::matmul::Precision;
#[cfg(target_arch = "x86_64")]
pub use amx::products as amx_products;
pub use bf16::rounded;
pub use few::{FEW, FEW_STORED, Stored, few, few_here};
use pack::{Room, gather, pack};
pub use panels::Panels;
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

    /// What begins at row i and column j.
    fn from(self, i: usize, j: usize) -> Matrix<'a> {
        Matrix { data: &self.data[(i * self.row + j * self.col).min(self.data.len())..], ..self }
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
    /// It takes so many k at a time, and always `MR` rows: where there are fewer k, A and B go on with zeros; what is in
    /// rows beyond the last does not matter.
    const DEPTH: usize = 1;
    /// How many times faster it multiplies than the others, beside reading and packing.
    const SPEED: usize = 1;

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
    if n > 0 {
        gemm_block(precision, k, a, b, start, Block::new(c, n, n));
    }
}

/// The same for a block of a matrix.
pub fn gemm_block(precision: Precision, k: usize, a: Matrix, b: Matrix, start: Start, c: Block) {
    let [m, n] = c.size();
    let spread = m * n * k >= ONE_THREAD;
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
    let b = Right::Lies(b);
    Product { m, n, k, a, b, pack: Pack::Numbers, start, c: Out(c), c_row, spread }.run_numbers();
}

/// Products of fewer multiply-adds than this stay on one thread.
const ONE_THREAD: usize = 1 << 18;

/// To read a number, gathered or where it lies, takes the time of so many multiply-adds, to pack one of B so many.
const READ: usize = 32;
const PACK: usize = 64;
/// A task has at most so many strips, whose panels it keeps (6 MiB).
const WIDEST: usize = 24;
/// At most so many numbers of A are gathered at a time (512 KiB, in the second-level cache).
const GATHERED: usize = 1 << 17;

/// What a thread packs into.
struct Scratch {
    a: Vec<f32>,
    /// Panels of B, one after the other.
    b: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { a: Vec::new(), b: Vec::new() }) };
}

struct Product<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'a>,
    b: Right<'a>,
    pack: Pack,
    start: Start<'a>,
    c: Out,
    c_row: usize,
    /// Over all cores?
    spread: bool,
}

#[derive(Clone, Copy)]
enum Right<'a> {
    Lies(Matrix<'a>),
    /// Packed before: the data of [`Panels`].
    Panels(&'a [f32]),
}

/// What the tiles multiply.
#[derive(Clone, Copy)]
enum Pack {
    Numbers,
    /// Words of two numbers in bf16, of which the last may lack the second: the operands have `k` numbers where the
    /// product has half as many.
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
    fn run_numbers(&self) {
        match level() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Amx => self.run::<avx512::Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => self.run::<avx2::Avx2>(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => self.run::<neon::Neon>(),
            _ => self.run::<portable::Portable>(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn run_pairs(&self) {
        match level() {
            Level::Amx => self.run::<amx::Amx>(),
            _ => self.run::<avx512::Avx512Bf16>(),
        }
    }

    /// Cuts C in blocks of rows and groups of strips: a task for each, none of which can be seen in the result.
    fn run<T: Tile>(&self) {
        let strips = self.n.div_ceil(T::NR);
        let gathered = !matches!(self.pack, Pack::Numbers) || (self.a.col != 1 && strips > 1);
        if !self.spread {
            return self.block::<T>(0..self.m, 0..strips, gathered);
        }
        let (tall, wide) = self.cut::<T>(strips);
        let (blocks, groups) = (self.m.div_ceil(tall), strips.div_ceil(wide));
        par::tasks(blocks * groups, |task| {
            let (top, first) = (task / groups * tall, task % groups * wide);
            self.block::<T>(top..(top + tall).min(self.m), first..(first + wide).min(strips), gathered);
        });
    }

    /// Rows and strips of a task. With few tasks operands are gathered and packed the fewest times, many even out what
    /// else the machine does.
    fn cut<T: Tile>(&self, strips: usize) -> (usize, usize) {
        let threads = crew::threads();
        let column = if matches!(self.b, Right::Lies(_)) { PACK } else { READ / 2 };
        // Until the last thread is done, for which the others wait a thirty-second of a task.
        let cost = |&(tall, wide): &(usize, usize)| {
            let (tasks, cols) = (self.m.div_ceil(tall) * strips.div_ceil(wide), wide * T::NR);
            (32 * tasks.div_ceil(threads) + 1) * (tall * cols + T::SPEED * (tall * READ + cols * column))
        };
        let (most, fewest) = (8 * threads, strips.div_ceil(WIDEST));
        let cuts = (fewest..=strips.min(most).max(fewest)).flat_map(|groups| {
            // Numbers in between would leave threads idle.
            let step = (threads / groups).max(1);
            let blocks = (step..=(most / groups).max(step)).step_by(step);
            blocks.map(move |blocks| (self.m.div_ceil(blocks).next_multiple_of(T::MR), strips.div_ceil(groups)))
        });
        cuts.min_by_key(cost).expect("there is a strip")
    }

    /// How many k are packed at a time: K is cut in equal blocks.
    fn depth<T: Tile>(&self) -> usize {
        self.k.div_ceil(self.k.div_ceil(T::KC).max(1)).max(1)
    }

    /// Some rows of some strips of columns. Where A is gathered in parts, all strips of B are packed first, once for all.
    fn block<T: Tile>(&self, rows: Range<usize>, strips: Range<usize>, gathered: bool) {
        let depth = self.depth::<T>();
        let parts = if gathered { rows.len().div_ceil(GATHERED / depth) } else { 1 };
        let tall = rows.len().div_ceil(parts).next_multiple_of(T::MR);
        let panel = (depth.next_multiple_of(T::DEPTH) * T::NR).next_multiple_of(16);
        let packed = parts > 1 && matches!(self.b, Right::Lies(_));
        let apart = if packed { panel } else { 0 };
        SCRATCH.with_borrow_mut(|Scratch { a: room, b: panels }| {
            panels.resize(panels.len().max(panel + (strips.len() - 1) * apart + 15), 0.0);
            let aligned = panels.as_ptr().align_offset(64);
            let panels = &mut panels[aligned..];
            // An empty product still has to write its start.
            for top in (0..self.k.max(1)).step_by(depth) {
                let ks = top..self.k.min(top + depth);
                if packed {
                    let js = strips.start * T::NR..self.n.min(strips.end * T::NR);
                    self.pack::<T>(ks.clone(), js, apart, panels);
                }
                for first in rows.clone().step_by(tall) {
                    let rows = first..rows.end.min(first + tall);
                    let a = match self.pack {
                        Pack::Numbers if gathered => gather(&self.a, rows.clone(), ks.clone(), room),
                        Pack::Numbers => self.a.from(rows.start, top),
                        #[cfg(target_arch = "x86_64")]
                        Pack::Pairs { k } => bf16::gather::<T>(&self.a, k, rows.clone(), ks.clone(), room),
                    };
                    for (i, strip) in strips.clone().enumerate() {
                        let panel = &mut panels[i * apart..][..panel];
                        self.strip::<T>(strip, rows.clone(), ks.clone(), a, panel, packed);
                    }
                }
            }
        });
    }

    /// Columns of B, some k, to panels that are `apart`.
    fn pack<T: Tile>(&self, ks: Range<usize>, js: Range<usize>, apart: usize, panels: &mut [f32]) {
        let Right::Lies(b) = &self.b else { return };
        let room = Room { width: T::NR, apart, panels };
        match self.pack {
            Pack::Numbers => pack(b, ks, js, room),
            #[cfg(target_arch = "x86_64")]
            Pack::Pairs { k } => bf16::pack(b, k, ks, js, T::DEPTH, room),
        }
    }

    /// One strip of columns of C, some of its rows, some k.
    fn strip<T: Tile>(
        &self,
        strip: usize,
        rows: Range<usize>,
        ks: Range<usize>,
        a: Matrix,
        panel: &mut [f32],
        packed: bool,
    ) {
        let left = strip * T::NR;
        let cols = T::NR.min(self.n - left);
        let width = if T::MASKED { cols } else { T::NR };
        let (b, b_row) = match &self.b {
            Right::Panels(data) => {
                let at = (left / panels::WIDTH * self.k + ks.start) * panels::WIDTH + left % panels::WIDTH;
                (data[at.min(data.len())..].as_ptr(), panels::WIDTH)
            }
            // B's rows are read where they lie when they already are a panel, or when packing would hardly pay; and
            // when a whole tile may be read there.
            Right::Lies(b)
                if matches!(self.pack, Pack::Numbers)
                    && !packed
                    && b.col == 1
                    && (b.row <= T::NR || rows.len() <= 8 * T::MR)
                    && self.k > 0
                    && (self.k - 1) * b.row + left + width <= b.data.len() =>
            {
                (b.data[ks.start * b.row + left..].as_ptr(), b.row)
            }
            Right::Lies(_) => {
                if !packed {
                    self.pack::<T>(ks.clone(), left..left + cols, 0, panel);
                }
                (panel.as_ptr(), T::NR)
            }
        };
        for i in rows.clone().step_by(T::MR) {
            // SAFETY: `gemm` checked that the operands are as large as m, n and k say; tasks own distinct parts of C.
            unsafe {
                let c = self.c.0.add(i * self.c_row + left);
                let (start, start_row) = match self.start {
                    _ if ks.start > 0 => (c as *const f32, self.c_row),
                    Start::Old => (c as *const f32, self.c_row),
                    Start::Zero => (std::ptr::null(), 0),
                    Start::Bias(bias) => (bias.as_ptr().add(left), 0),
                };
                T::run(TileArgs {
                    rows: T::MR.min(rows.end - i),
                    cols,
                    depth: ks.len(),
                    a: a.data.as_ptr().wrapping_add((i - rows.start) * a.row),
                    a_row: a.row,
                    a_col: a.col,
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
}
