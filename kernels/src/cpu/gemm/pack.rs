//! Packing: rows of A where only its columns are dense, panels of B.

use super::{Matrix, transpose};
use std::ops::Range;

/// Room for `count` lines of `len` numbers, and how far they are apart: an odd number of cache lines, so that they
/// spread over the sets.
pub(super) fn near(count: usize, len: usize, out: &mut Vec<f32>) -> (usize, &mut [f32]) {
    let width = (len.div_ceil(16) | 1) * 16;
    out.resize(out.len().max(count * width), 0.0);
    (width, &mut out[..count * width])
}

/// Packs rows of A whose columns are dense. Where they lie, every k is far from the next: in a page, or at a
/// place in the cache, of its own.
pub(super) fn pack_a<'a>(a: &Matrix, rows: Range<usize>, ks: Range<usize>, out: &'a mut Vec<f32>) -> Matrix<'a> {
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

/// The packing buffer of B: columns go to panels of `width` of them, the next one `apart` from the last.
pub(super) struct PackBuffer<'a> {
    pub width: usize,
    pub apart: usize,
    pub panels: &'a mut [f32],
}

impl PackBuffer<'_> {
    /// Rows of every panel are zero.
    pub fn clear(&mut self, rows: Range<usize>, js: &Range<usize>) {
        for (i, _) in panels(js, self.width) {
            self.panels[i * self.apart..][rows.start * self.width..rows.end * self.width].fill(0.0);
        }
    }

    /// `write(k, columns, their place in row k of a panel)`, all columns of a row before the next: they are in one
    /// page. Columns beyond the last are zero.
    pub fn by_rows(self, rows: usize, js: Range<usize>, mut write: impl FnMut(usize, Range<usize>, &mut [f32])) {
        for k in 0..rows {
            for (i, js) in panels(&js, self.width) {
                let (row, pad) = self.panels[i * self.apart + k * self.width..][..self.width].split_at_mut(js.len());
                write(k, js, row);
                pad.fill(0.0);
            }
        }
    }

    /// `write(columns, their panel)`. Columns beyond the last are zero.
    pub fn by_panels(self, rows: usize, js: Range<usize>, mut write: impl FnMut(Range<usize>, &mut [f32])) {
        for (i, js) in panels(&js, self.width) {
            let panel = &mut self.panels[i * self.apart..][..rows * self.width];
            if js.len() < self.width {
                panel.fill(0.0);
            }
            write(js, panel);
        }
    }
}

fn panels(js: &Range<usize>, width: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let end = js.end;
    js.clone().step_by(width).map(move |j| j..end.min(j + width)).enumerate()
}

/// Copies B(k, j) to `panel[k * width + j]`.
pub(super) fn pack_b(b: &Matrix, ks: Range<usize>, js: Range<usize>, to: PackBuffer) {
    if b.col == 1 {
        return to.by_rows(ks.len(), js, |k, js, row| {
            let from = &b.data[(ks.start + k) * b.row + js.start..][..js.len()];
            prefetch(from.as_ptr().wrapping_add(AHEAD * b.row), from.len());
            row.copy_from_slice(from);
        });
    }
    assert_eq!(b.row, 1, "an operand has one dense axis");
    let width = to.width;
    to.by_panels(ks.len(), js, |js, panel| {
        // B(k, j) = data[k + j * col]: a transposition
        transpose(&b.data[js.start * b.col + ks.start..], b.col, js.len(), ks.len(), panel, width);
    });
}
