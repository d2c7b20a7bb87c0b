//! The readable loops. `map` and `zip` read the table.
use super::{Binary, Unary};
use crate::Float;

/// y[i] = op(x[i])
pub fn map(op: Unary, x: &[f64], p: [f64; 2], y: &mut [f64]) {
    let f = op.row().f64;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x, p);
    }
}

/// y[i] = op(a[i], b[i])
pub fn zip(op: Binary, a: &[f64], b: &[f64], p: [f64; 2], y: &mut [f64]) {
    let f = op.row().f64;
    for (i, y) in y.iter_mut().enumerate() {
        *y = f(a[i], b[i], p);
    }
}

/// y += s·x
pub fn axpy<F: Float>(y: &mut [F], s: F, x: &[F]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += s * x;
    }
}

/// y += t·(x − y)
pub fn lerp<F: Float>(y: &mut [F], t: F, x: &[F]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y += t * (x - *y);
    }
}

/// y *= s
pub fn scale<F: Float>(y: &mut [F], s: F) {
    for y in y {
        *y *= s;
    }
}
