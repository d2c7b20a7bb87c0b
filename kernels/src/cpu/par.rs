//! Work over all cores.
//!
//! Every cut is made from shapes alone and never from the number of threads, so results have the same bits on
//! one core and on sixty-four.

use rayon::prelude::*;
use std::ops::Range;

/// Below this many elements of work a hand-over to another thread costs more than it saves.
const SMALL: usize = 16 * 1024;

/// `f(0)`, `f(1)` … `f(count - 1)`, in any order, on all cores.
pub fn tasks(count: usize, f: impl Fn(usize) + Sync + Send) {
    if count <= 1 {
        (0..count).for_each(f);
    } else {
        (0..count).into_par_iter().with_max_len(1).for_each(f);
    }
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
    f: impl Fn(Range<usize>, [&mut [f32]; P]) + Sync + Send,
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

/// The sum over pieces of `grain` rows: every piece adds into zeros of its own (`len` numbers), and the pieces are
/// added in order.
pub fn sum_pieces(
    rows: usize,
    grain: usize,
    len: usize,
    f: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
) -> Vec<f32> {
    let pieces = rows.div_ceil(grain).max(1);
    let mut partial = vec![0.0; pieces * len];
    self::rows(pieces, 1, [(&mut partial, len)], |piece, [out]| {
        f(piece.start * grain..(piece.end * grain).min(rows), out);
    });
    let (total, rest) = partial.split_at_mut(len);
    for piece in rest.chunks_exact(len.max(1)) {
        total.iter_mut().zip(piece).for_each(|(t, p)| *t += p);
    }
    partial.truncate(len);
    partial
}

/// A slice that several tasks write, each in its own places.
pub struct Shared<T> {
    start: *mut T,
    len: usize,
}

unsafe impl<T: Send> Send for Shared<T> {}
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub fn new(slice: &mut [T]) -> Shared<T> {
        Shared { start: slice.as_mut_ptr(), len: slice.len() }
    }

    pub fn as_ptr(&self) -> *mut T {
        self.start
    }

    /// # Safety
    /// No two slices that live at once may overlap, and none may outlive the slice this was made from.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
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
        let sum = sum_pieces(10, 3, 2, |range, out| {
            for r in range {
                out[0] += r as f32;
                out[1] += 1.0;
            }
        });
        assert_eq!(sum, [45.0, 10.0]);
        assert_eq!(sum_pieces(0, 3, 2, |_, _| ()), [0.0, 0.0]);
    }
}
