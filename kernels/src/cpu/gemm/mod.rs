//! The matrix product: C = A B, C += A B or C = A B + bias.
//!
//! The five loops of Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008), by their common
//! names:
//!
//! ```text
//! LOOP 5   over N, NC columns at a time: a few panels of NR columns          ┐ a task for each NC columns and
//! LOOP 4     over K, KC at a time                                            │ MC rows: `Product::run` cuts them,
//! LOOP 3       over M, MC rows at a time; pack A                             ┘ `Product::block` is one of them
//! LOOP 2         over the panels, NR columns at a time; pack B: KC × NR      `Product::panel`
//! LOOP 1           over the rows, MR at a time                               `Tile::run`: MR × NR sums in registers
//! ```
//!
//! A packed panel of B stays in the second-level cache while the rows of A pass by. A is read where it lies, a number
//! of each of the tile's rows at a time; only where its columns are dense and its rows are not (the gradient of a
//! weight) is A packed, MC rows for several panels, which are then packed once, before LOOP 3, and kept. So all three
//! forms (NN, NT, TN) are the same loop.
//!
//! Every element of C is one chain of multiply-adds in the order of k, whichever tile it falls in, so neither the
//! cutting nor the number of threads can be seen in the result. What is already small stays simple: B is not packed
//! where it would hardly pay, and a skinny product (a few rows times Wᵀ: decoding) reads every weight once. Every
//! thread packs for itself: what another core has written is slow to read, slower than memory when the cores share no
//! cache.
//!
//! In bf16 both operands are rounded while they are packed, and the products summed in f32.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bf16;
#[cfg(target_arch = "aarch64")]
mod neon;
mod pack;
mod panels;
mod portable;
mod skinny;
#[cfg(test)]
mod tests;
mod transpose;

use super::par::{self, Block};
use super::simd::{Isa, isa};
use super::thread_pool;
use crate::matmul::Precision;
#[cfg(target_arch = "x86_64")]
pub use amx::products as amx_products;
pub use bf16::rounded;
use pack::{PackBuffer, pack_a, pack_b};
pub use panels::Panels;
pub use skinny::{SKINNY, SKINNY_BF16, Weight, skinny, skinny_here};
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

/// BLAS's beta, or a bias: what the products are added to.
#[derive(Clone, Copy)]
pub enum Beta<'a> {
    Zero,
    /// What C holds now: C += A B
    One,
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
    /// It takes so many k at a time, and always `MR` rows: where there are fewer k, A and B go on with zeros; what is
    /// in rows beyond the last does not matter.
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
    /// What the products are added to; null for zeros.
    start: *const f32,
    start_row: usize,
    c: *mut f32,
    c_row: usize,
}

/// c [m, n] = beta + a [m, k] · b [k, n], on all cores where it is large enough to gain.
pub fn gemm(precision: Precision, [m, n, k]: [usize; 3], a: Matrix, b: Matrix, beta: Beta, c: &mut [f32]) {
    assert_eq!(c.len(), m * n, "the product is {m} × {n}");
    if n > 0 {
        gemm_block(precision, k, a, b, beta, Block::new(c, n, n));
    }
}

/// The same for a block of a matrix.
pub fn gemm_block(precision: Precision, k: usize, a: Matrix, b: Matrix, beta: Beta, c: Block) {
    let [m, n] = c.size();
    let spread = m * n * k >= ONE_THREAD;
    if let Beta::Bias(bias) = beta {
        assert_eq!(bias.len(), n, "a bias for {n} columns");
    }
    match precision {
        Precision::F32 => product(k, a, b, beta, c, spread),
        Precision::Bf16 => bf16::product(k, a, b, beta, c, spread),
    }
}

/// c = beta + a [rows of c, k] · b [k, columns of c], on this thread: for use inside a task.
pub fn gemm_here(k: usize, a: Matrix, b: Matrix, beta: Beta, c: Block) {
    product(k, a, b, beta, c, false);
}

fn product(k: usize, a: Matrix, b: Matrix, beta: Beta, mut c: Block, spread: bool) {
    let [m, n] = c.size();
    a.check(m, k);
    b.check(k, n);
    if m == 0 || n == 0 {
        return;
    }
    let (c, c_row) = c.raw();
    let b = B::Matrix(b);
    Product { m, n, k, a, b, pack: Pack::Numbers, beta, c: Out(c), c_row, spread }.run_numbers();
}

/// Products of fewer multiply-adds than this stay on one thread.
const ONE_THREAD: usize = 1 << 18;

/// To read a number, packed or where it lies, takes the time of so many multiply-adds, to pack one of B so many.
const READ: usize = 32;
const PACK: usize = 64;
/// NC: a task has at most so many panels, which it keeps (6 MiB).
const NC_PANELS: usize = 24;
/// MC × KC: at most so many numbers of A are packed at a time (512 KiB, in the second-level cache).
const PACKED_A: usize = 1 << 17;

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
    b: B<'a>,
    pack: Pack,
    beta: Beta<'a>,
    c: Out,
    c_row: usize,
    /// Over all cores?
    spread: bool,
}

#[derive(Clone, Copy)]
enum B<'a> {
    Matrix(Matrix<'a>),
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
        match isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => self.run::<avx512::Avx512>(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => self.run::<avx2::Avx2>(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => self.run::<neon::Neon>(),
            _ => self.run::<portable::Portable>(),
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn run_pairs(&self) {
        match isa() {
            Isa::Amx => self.run::<amx::Amx>(),
            _ => self.run::<avx512::Avx512Bf16>(),
        }
    }

    /// LOOP 5 and LOOP 3 over all cores: a task for each NC columns and MC rows of C, none of which can be seen in the
    /// result.
    fn run<T: Tile>(&self) {
        let panels = self.n.div_ceil(T::NR);
        let packs_a = !matches!(self.pack, Pack::Numbers) || (self.a.col != 1 && panels > 1);
        if !self.spread {
            return self.block::<T>(0..self.m, 0..panels, packs_a);
        }
        let (mc, nc) = self.blocking::<T>(panels);
        let (blocks, groups) = (self.m.div_ceil(mc), panels.div_ceil(nc));
        par::tasks(blocks * groups, |task| {
            let (top, first) = (task / groups * mc, task % groups * nc);
            self.block::<T>(top..(top + mc).min(self.m), first..(first + nc).min(panels), packs_a);
        });
    }

    /// MC in rows and NC in panels of a task. With few tasks operands are packed the fewest times, many even out what
    /// else the machine does.
    fn blocking<T: Tile>(&self, panels: usize) -> (usize, usize) {
        let threads = thread_pool::threads();
        let column = if matches!(self.b, B::Matrix(_)) { PACK } else { READ / 2 };
        // Until the last thread is done, for which the others wait a thirty-second of a task.
        let cost = |&(mc, nc): &(usize, usize)| {
            let (tasks, cols) = (self.m.div_ceil(mc) * panels.div_ceil(nc), nc * T::NR);
            (32 * tasks.div_ceil(threads) + 1) * (mc * cols + T::SPEED * (mc * READ + cols * column))
        };
        let (most, fewest) = (8 * threads, panels.div_ceil(NC_PANELS));
        let all = (fewest..=panels.min(most).max(fewest)).flat_map(|groups| {
            // Numbers in between would leave threads idle.
            let step = (threads / groups).max(1);
            let blocks = (step..=(most / groups).max(step)).step_by(step);
            blocks.map(move |blocks| (self.m.div_ceil(blocks).next_multiple_of(T::MR), panels.div_ceil(groups)))
        });
        all.min_by_key(cost).expect("there is a panel")
    }

    /// KC of this product: K is cut in equal blocks.
    fn kc<T: Tile>(&self) -> usize {
        self.k.div_ceil(self.k.div_ceil(T::KC).max(1)).max(1)
    }

    /// LOOP 4 to LOOP 2 over some rows and some panels of columns. Where A is packed in parts, all panels of B are
    /// packed before, once for all.
    fn block<T: Tile>(&self, rows: Range<usize>, panels: Range<usize>, packs_a: bool) {
        let kc = self.kc::<T>();
        let parts = if packs_a { rows.len().div_ceil(PACKED_A / kc) } else { 1 };
        let mc = rows.len().div_ceil(parts).next_multiple_of(T::MR);
        let size = (kc.next_multiple_of(T::DEPTH) * T::NR).next_multiple_of(16); // of a packed panel
        let packed = parts > 1 && matches!(self.b, B::Matrix(_));
        let apart = if packed { size } else { 0 };
        SCRATCH.with_borrow_mut(|Scratch { a: a_buffer, b: b_buffer }| {
            b_buffer.resize(b_buffer.len().max(size + (panels.len() - 1) * apart + 15), 0.0);
            let aligned = b_buffer.as_ptr().align_offset(64);
            let b_buffer = &mut b_buffer[aligned..];
            // LOOP 4. An empty product still has to write its beta.
            for top in (0..self.k.max(1)).step_by(kc) {
                let ks = top..self.k.min(top + kc);
                if packed {
                    let js = panels.start * T::NR..self.n.min(panels.end * T::NR);
                    self.pack_b::<T>(ks.clone(), js, apart, b_buffer);
                }
                // LOOP 3
                for first in rows.clone().step_by(mc) {
                    let rows = first..rows.end.min(first + mc);
                    let a = match self.pack {
                        Pack::Numbers if packs_a => pack_a(&self.a, rows.clone(), ks.clone(), a_buffer),
                        Pack::Numbers => self.a.from(rows.start, top),
                        #[cfg(target_arch = "x86_64")]
                        Pack::Pairs { k } => bf16::pack_a::<T>(&self.a, k, rows.clone(), ks.clone(), a_buffer),
                    };
                    // LOOP 2
                    for (i, panel) in panels.clone().enumerate() {
                        let buffer = &mut b_buffer[i * apart..][..size];
                        self.panel::<T>(panel, rows.clone(), ks.clone(), a, buffer, packed);
                    }
                }
            }
        });
    }

    /// Columns of B, some k, to panels that are `apart`.
    fn pack_b<T: Tile>(&self, ks: Range<usize>, js: Range<usize>, apart: usize, panels: &mut [f32]) {
        let B::Matrix(b) = &self.b else { return };
        let to = PackBuffer { width: T::NR, apart, panels };
        match self.pack {
            Pack::Numbers => pack_b(b, ks, js, to),
            #[cfg(target_arch = "x86_64")]
            Pack::Pairs { k } => bf16::pack_b(b, k, ks, js, T::DEPTH, to),
        }
    }

    /// LOOP 1: one panel of columns of C, some of its rows, some k. B is in `buffer` where it is `packed` already.
    fn panel<T: Tile>(
        &self,
        panel: usize,
        rows: Range<usize>,
        ks: Range<usize>,
        a: Matrix,
        buffer: &mut [f32],
        packed: bool,
    ) {
        let left = panel * T::NR;
        let cols = T::NR.min(self.n - left);
        let width = if T::MASKED { cols } else { T::NR };
        let (b, b_row) = match &self.b {
            B::Panels(data) => {
                let at = (left / panels::WIDTH * self.k + ks.start) * panels::WIDTH + left % panels::WIDTH;
                (data[at.min(data.len())..].as_ptr(), panels::WIDTH)
            }
            // B's rows are read where they lie when they already are a panel, or when packing would hardly pay; and
            // when a whole tile may be read there.
            B::Matrix(b)
                if matches!(self.pack, Pack::Numbers)
                    && !packed
                    && b.col == 1
                    && (b.row <= T::NR || rows.len() <= 8 * T::MR)
                    && self.k > 0
                    && (self.k - 1) * b.row + left + width <= b.data.len() =>
            {
                (b.data[ks.start * b.row + left..].as_ptr(), b.row)
            }
            B::Matrix(_) => {
                if !packed {
                    self.pack_b::<T>(ks.clone(), left..left + cols, 0, buffer);
                }
                (buffer.as_ptr(), T::NR)
            }
        };
        for i in rows.clone().step_by(T::MR) {
            // SAFETY: `gemm` checked that the operands are as large as m, n and k say; tasks own distinct parts of C.
            unsafe {
                let c = self.c.0.add(i * self.c_row + left);
                let (start, start_row) = match self.beta {
                    _ if ks.start > 0 => (c as *const f32, self.c_row),
                    Beta::One => (c as *const f32, self.c_row),
                    Beta::Zero => (std::ptr::null(), 0),
                    Beta::Bias(bias) => (bias.as_ptr().add(left), 0),
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
