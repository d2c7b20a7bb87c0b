//! Work over all cores.
//!
//! Every cut is made from shapes alone and never from the number of threads, so results have the same bits on
//! one core and on sixty-four.

use super::{pool, thread_pool};
use std::marker::PhantomData;
use std::ops::Range;

/// Below this many elements of work a hand-over to another thread costs more than it saves.
const SMALL: usize = 16 * 1024;

/// `f(0)`, `f(1)` … `f(count - 1)`, in any order, on all cores.
pub fn tasks(count: usize, f: impl Fn(usize) + Sync) {
    thread_pool::run(count, &f);
}

/// How many rows go in one piece when a row costs about `work` element operations.
pub fn grain(work: usize) -> usize {
    (SMALL / work.max(1)).max(1)
}

/// Cuts `rows` rows in pieces of `grain` rows and calls `f(range of rows, that piece of every output)`.
/// An output is a slice with its length per row.
pub fn rows<const P: usize>(
    rows: usize,
    grain: usize,
    outputs: [(&mut [f32], usize); P],
    f: impl Fn(Range<usize>, [&mut [f32]; P]) + Sync,
) {
    for (out, width) in &outputs {
        assert_eq!(out.len(), rows * width, "an output of {rows} rows of {width}");
    }
    let outputs = outputs.map(|(out, width)| (Shared::new(out), width));
    tasks(rows.div_ceil(grain), |task| {
        let range = task * grain..((task + 1) * grain).min(rows);
        // SAFETY: the ranges of two tasks do not meet.
        let pieces =
            outputs.each_ref().map(|(out, width)| unsafe { out.slice(range.start * width..range.end * width) });
        f(range, pieces)
    });
}

/// `f(range, that piece)` over words, in pieces for all cores.
pub fn words(out: &mut [u32], f: impl Fn(Range<usize>, &mut [u32]) + Sync) {
    let len = out.len();
    let shared = Shared::new(out);
    tasks(len.div_ceil(SMALL), |task| {
        let range = task * SMALL..len.min((task + 1) * SMALL);
        // SAFETY: the ranges of two tasks do not meet.
        f(range.clone(), unsafe { shared.slice(range) })
    });
}

/// As [`rows`], with a sum over all rows besides: every piece adds to zeros of its own, and the pieces are added
/// into `sum` in order.
pub fn rows_and_sum<const P: usize>(
    rows: usize,
    grain: usize,
    outputs: [(&mut [f32], usize); P],
    sum: &mut [f32],
    f: impl Fn(Range<usize>, [&mut [f32]; P], &mut [f32]) + Sync,
) {
    let grain = grain.max(rows.div_ceil(64)); // at most 64 pieces to add up
    let pieces = rows.div_ceil(grain);
    let len = sum.len();
    let mut partial = pool::full(pieces * len, 0.0);
    let shared = Shared::new(&mut partial);
    self::rows(rows, grain, outputs, |range, outputs| {
        let piece = range.start / grain;
        // SAFETY: every piece has a place of its own.
        f(range, outputs, unsafe { shared.slice(piece * len..(piece + 1) * len) });
    });
    sum.fill(0.0);
    for piece in partial.chunks_exact(len.max(1)) {
        sum.iter_mut().zip(piece).for_each(|(s, p)| *s += p);
    }
    pool::give(partial);
}

/// The results of `f(0)` … `f(count - 1)`, `grain` of them to a task.
pub fn map<T: Clone + Default + Send>(count: usize, grain: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let mut out = vec![T::default(); count];
    let shared = Shared::new(&mut out);
    tasks(count.div_ceil(grain), |task| {
        let range = task * grain..((task + 1) * grain).min(count);
        // SAFETY: the ranges of two tasks do not meet.
        for (i, out) in range.clone().zip(unsafe { shared.slice(range) }) {
            *out = f(i);
        }
    });
    out
}

/// Rows `starts[s]..starts[s + 1]` of every segment s, times every part: a task for each. A part is `P` blocks, each
/// some columns of one of the outputs (given with their widths); the parts may not overlap.
pub fn grid<const O: usize, const P: usize>(
    starts: &[u32],
    outputs: [(&mut [f32], usize); O],
    parts: &[[(usize, Range<usize>); P]],
    f: impl Fn(Range<usize>, usize, [Block; P]) + Sync,
) {
    let rows = *starts.last().expect("segments have an end") as usize;
    for (o, (out, width)) in outputs.iter().enumerate() {
        assert_eq!(out.len(), rows * width, "an output of {rows} rows of {width}");
        let mut taken = vec![false; *width];
        for (_, columns) in parts.iter().flatten().filter(|(of, _)| *of == o) {
            for taken in &mut taken[columns.clone()] {
                assert!(!std::mem::replace(taken, true), "two parts share a column");
            }
        }
    }
    assert!(starts.is_sorted());
    let outputs = outputs.map(|(out, width)| (Shared::new(out), width));
    tasks((starts.len() - 1) * parts.len(), |task| {
        let (segment, part) = (task / parts.len(), task % parts.len());
        let range = starts[segment] as usize..starts[segment + 1] as usize;
        let blocks = parts[part].each_ref().map(|(o, columns)| {
            let (out, width) = &outputs[*o];
            // SAFETY: inside the output, and no other task has these rows and columns.
            let start = unsafe { out.start.add(range.start * width + columns.start) };
            Block { start, rows: range.len(), cols: columns.len(), row: *width, of: PhantomData }
        });
        f(range, part, blocks);
    });
}

/// Some columns of some rows of a matrix, to write.
pub struct Block<'a> {
    start: *mut f32,
    rows: usize,
    cols: usize,
    /// From one row to the next.
    row: usize,
    of: PhantomData<&'a mut [f32]>,
}

impl<'a> Block<'a> {
    /// The first `cols` columns of a matrix with rows of `width`.
    pub fn new(data: &'a mut [f32], cols: usize, width: usize) -> Block<'a> {
        assert!(cols <= width && data.len().is_multiple_of(width.max(1)));
        let rows = data.len() / width.max(1);
        Block { start: data.as_mut_ptr(), rows, cols, row: width, of: PhantomData }
    }

    pub fn size(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    pub fn row(&mut self, i: usize) -> &mut [f32] {
        assert!(i < self.rows);
        // SAFETY: the block is in bounds, and borrowed for as long as the row is.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(i * self.row), self.cols) }
    }

    /// Some of the rows and columns.
    pub fn part(&mut self, rows: Range<usize>, cols: Range<usize>) -> Block<'_> {
        assert!(rows.end <= self.rows && cols.end <= self.cols);
        let start = self.start.wrapping_add(rows.start * self.row + cols.start);
        Block { start, rows: rows.len(), cols: cols.len(), row: self.row, of: PhantomData }
    }

    /// Its first number, and the step from row to row.
    pub(super) fn raw(&mut self) -> (*mut f32, usize) {
        (self.start, self.row)
    }
}

/// A slice that several tasks write, each in its own places.
struct Shared<T> {
    start: *mut T,
    len: usize,
}

unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    fn new(slice: &mut [T]) -> Shared<T> {
        Shared { start: slice.as_mut_ptr(), len: slice.len() }
    }

    /// # Safety
    /// No two slices that live at once may overlap, and none may outlive the slice this was made from.
    #[allow(clippy::mut_from_ref)]
    unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_reach_every_output_once() {
        let (mut a, mut b) = (vec![0.0; 7 * 3], vec![0.0; 7]);
        rows(7, 2, [(&mut a, 3), (&mut b, 1)], |range, [a, b]| {
            for (i, r) in range.enumerate() {
                a[i * 3..][..3].fill(r as f32);
                b[i] += r as f32;
            }
        });
        assert_eq!(b, [0., 1., 2., 3., 4., 5., 6.]);
        assert!(a.iter().enumerate().all(|(i, &x)| x == (i / 3) as f32));
    }

    #[test]
    fn pieces_add_up() {
        let (mut sum, mut seen) = ([9.0; 2], vec![0.0; 10]);
        rows_and_sum(10, 3, [(&mut seen, 1)], &mut sum, |range, [seen], out| {
            seen.fill(1.0);
            for r in range {
                out[0] += r as f32;
                out[1] += 1.0;
            }
        });
        assert_eq!((sum, seen), ([45.0, 10.0], vec![1.0; 10]));
        rows_and_sum(0, 3, [], &mut sum, |_, [], _| ());
        assert_eq!(sum, [0.0, 0.0]);
    }

    #[test]
    fn a_grid_covers_its_parts() {
        // two segments of 1 and 2 rows; column 0 and columns 1..3
        let mut out = vec![0.0; 9];
        grid(&[0, 1, 3], [(&mut out, 3)], &[[(0, 0..1)], [(0, 1..3)]], |rows, part, [mut block]| {
            for i in 0..rows.len() {
                block.row(i).fill((10 * (rows.start + i) + part) as f32);
            }
        });
        assert_eq!(out, [0., 1., 1., 10., 11., 11., 20., 21., 21.]);
    }

    #[test]
    #[should_panic(expected = "share a column")]
    fn overlapping_parts_are_refused() {
        grid(&[0, 1], [(&mut [0.0; 3], 3)], &[[(0, 0..2)], [(0, 1..3)]], |_, _, _| ());
    }
}
