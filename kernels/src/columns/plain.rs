//! The readable loop.
use crate::Float;

/// `count` columns of x [N, xw] from `x_start` on, to y [N, yw] from `y_start` on.
pub fn copy<F: Float>(x: &[F], xw: usize, x_start: usize, y: &mut [F], yw: usize, y_start: usize, count: usize) {
    for (x, y) in x.chunks(xw).zip(y.chunks_mut(yw)) {
        y[y_start..y_start + count].copy_from_slice(&x[x_start..x_start + count]);
    }
}
