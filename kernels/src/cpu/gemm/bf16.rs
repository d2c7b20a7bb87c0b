//! The product in bf16: both operands rounded, their products summed in f32.
//!
//! Where the processor multiplies pairs (AVX-512 BF16), A is packed into words of two neighbouring k, B into panels of
//! such words as LOOP 2 goes along, and the tile is the one of f32. Elsewhere both are rounded and
//! multiplied as f32: the product of two numbers of 8 bits is exact there, so only the order of the sums differs. (AMX
//! adds up in yet another order.)

use super::{Beta, Block, Matrix};
use crate::cpu::par;
use crate::cpu::pool::{self, Pooled};
#[cfg(target_arch = "x86_64")]
use crate::cpu::simd::isa;
#[cfg(target_arch = "x86_64")]
pub(super) use pairs::{pack_a, pack_b};

/// Does the processor multiply pairs, and is it to?
pub(super) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return isa().has_avx512() && is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

pub(super) fn product(k: usize, a: Matrix, b: Matrix, beta: Beta, c: Block, spread: bool) {
    #[cfg(target_arch = "x86_64")]
    if available() {
        return pairs::product(k, a, b, beta, c, spread);
    }
    let (a_data, b_data) = (rounded(a.data), rounded(b.data));
    let (a, b) = (Matrix { data: &a_data, ..a }, Matrix { data: &b_data, ..b });
    super::product(k, a, b, beta, c, spread);
}

/// Each number as bf16 would keep it.
pub fn rounded(x: &[f32]) -> Pooled {
    let mut y = pool::take(x.len());
    par::rows(x.len(), par::grain(1), [(&mut y, 1)], |range, [y]| crate::bf16::round_to(&x[range], y));
    y.into()
}

#[cfg(target_arch = "x86_64")]
mod pairs {
    use super::super::{
        B, Beta, Matrix, Out, Pack, Product, Tile,
        pack::{AHEAD, PackBuffer, near, prefetch},
        transpose,
    };
    use super::Block;
    use std::arch::x86_64::*;
    use std::cell::RefCell;
    use std::ops::Range;

    /// The f32 product of words: K is half as deep.
    pub fn product(k: usize, a: Matrix, b: Matrix, beta: Beta, mut c: Block, spread: bool) {
        let [m, n] = c.size();
        a.check(m, k);
        b.check(k, n);
        if m == 0 || n == 0 {
            return;
        }
        let (c, c_row) = c.raw();
        let (b, pack) = (B::Matrix(b), Pack::Pairs { k });
        Product { m, n, k: k.div_ceil(2), a, b, pack, beta, c: Out(c), c_row, spread }.run_pairs();
    }

    /// Words of rows of A. Rows stay rows where they are dense; where its columns are, pairs of them become lines of
    /// words, which only a tile with a depth wants as rows.
    pub fn pack_a<'a, T: Tile>(
        a: &Matrix,
        k: usize,
        rows: Range<usize>,
        ps: Range<usize>,
        out: &'a mut Vec<f32>,
    ) -> Matrix<'a> {
        if a.col != 1 && T::DEPTH == 1 {
            let (width, out) = near(ps.len(), rows.len(), out);
            for (p, out) in ps.zip(out.chunks_exact_mut(width)) {
                across(a, 2 * p, k, rows.clone(), &mut out[..rows.len()]);
            }
            return Matrix::new(out, width).transposed();
        }
        let (width, out) = near(rows.len().next_multiple_of(T::MR), ps.len(), out);
        let lines = out.chunks_exact_mut(width).take(rows.len());
        lines.for_each(|line| line[ps.len()..ps.len().next_multiple_of(T::DEPTH)].fill(0.0));
        if a.col == 1 {
            for (i, out) in rows.zip(out.chunks_exact_mut(width)) {
                let numbers = &a.data[i * a.row + 2 * ps.start..i * a.row + k.min(2 * ps.end)];
                along(numbers, 2 * a.row, &mut out[..ps.len()]);
            }
        } else {
            transpose_lines(a, k, rows, ps, out, width);
        }
        Matrix::new(out, width)
    }

    /// Lines of words of columns of A, transposed into rows.
    fn transpose_lines(a: &Matrix, k: usize, rows: Range<usize>, ps: Range<usize>, out: &mut [f32], width: usize) {
        ROWS_OF_THREAD.with_borrow_mut(|lines| {
            for some in rows.clone().step_by(64) {
                let these = some..rows.end.min(some + 64);
                for first in ps.clone().step_by(SOME) {
                    let count = SOME.min(ps.end - first);
                    for (p, line) in (first..first + count).zip(lines.chunks_exact_mut(64)) {
                        across(a, 2 * p, k, these.clone(), &mut line[..these.len()]);
                    }
                    let to = &mut out[(some - rows.start) * width + first - ps.start..];
                    transpose(lines, 64, count, these.len(), to, width);
                }
            }
        });
    }

    /// So many words of each row of B are transposed at a time: they stay in the first-level cache.
    const SOME: usize = 64;

    thread_local! {
        static ROWS_OF_THREAD: RefCell<[f32; 64 * SOME]> = const { RefCell::new([0.0; 64 * SOME]) };
    }

    /// Copies B(2p, j) and B(2p + 1, j) to word `panel[p * width + j]`; rows beyond the last, up to a multiple of
    /// `depth`, are zero.
    pub fn pack_b(b: &Matrix, k: usize, ps: Range<usize>, js: Range<usize>, depth: usize, mut to: PackBuffer) {
        to.clear(ps.len()..ps.len().next_multiple_of(depth), &js);
        if b.col == 1 {
            return to.by_rows(ps.len(), js, |p, js, row| across(b, 2 * (ps.start + p), k, js, row));
        }
        assert_eq!(b.row, 1, "an operand has one dense axis");
        let width = to.width;
        to.by_panels(ps.len(), js, |js, panel| {
            ROWS_OF_THREAD.with_borrow_mut(|rows| {
                for (some, panel) in ps.clone().step_by(SOME).zip(panel.chunks_mut(SOME * width)) {
                    let count = SOME.min(ps.end - some);
                    let (from, to) = (2 * some, k.min(2 * (some + count)));
                    for (j, row) in js.clone().zip(rows.chunks_exact_mut(count)) {
                        along(&b.data[j * b.col + from..j * b.col + to], AHEAD * b.col, row);
                    }
                    transpose(&rows[..], count, js.len(), count, panel, width);
                }
            })
        });
    }

    /// Words of rows `low` and `low` + 1 of a matrix with dense rows (or, transposed, columns).
    fn across(x: &Matrix, low: usize, k: usize, js: Range<usize>, out: &mut [f32]) {
        let stride = x.row.max(x.col);
        let row = |k: usize| &x.data[k * stride + js.start..k * stride + js.end];
        // SAFETY: asked for after `available`; all three are as long as `out`.
        unsafe { zip_rows(row(low), if low + 1 < k { row(low + 1) } else { &[] }, 2 * AHEAD * stride, out) }
    }

    /// Words of neighbours in one row; an odd last one has zero beside it. What lies `ahead` will be read soon.
    fn along(row: &[f32], ahead: usize, out: &mut [f32]) {
        assert_eq!(out.len(), row.len().div_ceil(2));
        // SAFETY: asked for after `available`; the lengths fit.
        unsafe { pair_up(row, ahead, out) }
    }

    fn mask(len: usize) -> __mmask16 {
        (0xffffu32 >> (16 - len.min(16))) as __mmask16
    }

    /// out[j] = low[j] in the lower half, high[j] (zero if there is none) in the upper.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn zip_rows(low: &[f32], high: &[f32], ahead: usize, out: &mut [f32]) {
        // 32 numbers of 16 bits, first all low ones: 0, 16, 1, 17, … brings the pairs together.
        let order = std::array::from_fn::<u16, 32, _>(|i| (i / 2 + 16 * (i % 2)) as u16);
        // SAFETY: the masks end where the rows do.
        unsafe {
            let order = _mm512_loadu_epi16(order.as_ptr() as *const i16);
            for at in (0..out.len()).step_by(16) {
                let mask = mask(out.len() - at);
                prefetch(low.as_ptr().wrapping_add(at + ahead), 1);
                prefetch(high.as_ptr().wrapping_add(at + ahead), 1);
                let first = _mm512_maskz_loadu_ps(mask, low.as_ptr().add(at));
                let second = match high.is_empty() {
                    true => _mm512_setzero_ps(),
                    false => _mm512_maskz_loadu_ps(mask, high.as_ptr().add(at)),
                };
                let words = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
                let words = _mm512_permutexvar_epi16(order, words);
                _mm512_mask_storeu_epi32(out.as_mut_ptr().add(at) as *mut i32, mask, words);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
    unsafe fn pair_up(row: &[f32], ahead: usize, out: &mut [f32]) {
        for (row, out) in row.chunks(32).zip(out.chunks_mut(16)) {
            // SAFETY: the masks end where the rows do.
            unsafe {
                prefetch(row.as_ptr().wrapping_add(ahead), 1);
                prefetch(row.as_ptr().wrapping_add(ahead + 16), 1);
                let first = _mm512_maskz_loadu_ps(mask(row.len()), row.as_ptr());
                let second = match row.len() {
                    ..=16 => _mm512_setzero_ps(),
                    len => _mm512_maskz_loadu_ps(mask(len - 16), row.as_ptr().add(16)),
                };
                let words: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_mask_storeu_epi32(out.as_mut_ptr() as *mut i32, mask(out.len()), words);
            }
        }
    }
}
