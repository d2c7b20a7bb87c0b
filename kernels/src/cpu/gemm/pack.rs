//! Bringing operands together: rows of A where only its columns are dense, panels of B.

use super::{Matrix, transpose};
use std::ops::Range;

/// Room for `count` lines of `len` numbers, and how far they are apart: an odd number of cache lines, so that they spread
/// over the sets.
pub(super) fn near(count: usize, len: usize, out: &mut Vec<f32>) -> (usize, &mut [f32]) {
    let width = (len.div_ceil(16) | 1) * 16;
    out.resize(out.len().max(count * width), 0.0);
    (width, &mut out[..count * width])
}

/// Brings rows of A together whose columns are dense. Where they lie, every k is far from the next: in a page, or at a
/// place in the cache, of its own.
pub(super) fn gather<'a>(a: &Matrix, rows: Range<usize>, ks: Range<usize>, out: &'a mut Vec<f32>) -> Matrix<'a> {
    assert_eq!(a.row, 1, "an operand has one dense axis");
    let line = |k: usize| &a.data[k * a.col + rows.start..k * a.col + rows.end];
    let (width, out) = near(ks.len(), rows.len(), out);
    for (k, out) in ks.clone().zip(out.chunks_exact_mut(width)) {
        prefetch(line(k).as_ptr().wrapping_add(AHEAD * a.col), rows.len());
        out[..rows.len()].copy_from_slice(line(k));
    }
    Matrix::new(out, width).transposed()
}

/// How many rows ahead memory is asked for what packing will read: every row is far from the last, so the processor
/// does not guess.
pub(super) const AHEAD: usize = 8;

/// Asks for the cache lines of numbers that will be read, wherever they are.
pub(super) fn prefetch(x: *const f32, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len).step_by(16) {
        use std::arch::x86_64::*;
        // SAFETY: a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(line) as *const i8) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (x, len);
}

/// Copies B(k, j) to `panel[k * width + j]` for j < `width`, the next `width` columns to the panel that is `apart` from
/// it, and so on; columns beyond the last are zero.
pub(super) fn pack(b: &Matrix, ks: Range<usize>, js: Range<usize>, width: usize, apart: usize, panels: &mut [f32]) {
    let strips = || js.clone().step_by(width).map(|j| j..js.end.min(j + width)).enumerate();
    if b.col == 1 {
        // All columns of a row before the next: they are in one page.
        for (at, k) in ks.enumerate() {
            for (i, js) in strips() {
                let (row, pad) = panels[i * apart + at * width..][..width].split_at_mut(js.len());
                let from = &b.data[k * b.row + js.start..k * b.row + js.end];
                prefetch(from.as_ptr().wrapping_add(AHEAD * b.row), from.len());
                row.copy_from_slice(from);
                pad.fill(0.0);
            }
        }
        return;
    }
    assert_eq!(b.row, 1, "an operand has one dense axis");
    for (i, js) in strips() {
        let panel = &mut panels[i * apart..];
        if js.len() < width {
            panel[..ks.len() * width].fill(0.0);
        }
        // B(k, j) = data[k + j * col]: a transposition
        transpose(&b.data[js.start * b.col + ks.start..], b.col, js.len(), ks.len(), panel, width);
    }
}
