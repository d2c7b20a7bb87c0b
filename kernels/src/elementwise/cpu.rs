//! Fast on the CPU.
pub use super::plain::{axpy, lerp, scale};
use super::{Binary, Unary};

pub fn map(op: Unary, x: &[f32], p: [f32; 2], y: &mut [f32]) {
    let f = op.row().f32;
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x, p);
    }
}

pub fn zip(op: Binary, a: &[f32], b: &[f32], p: [f32; 2], y: &mut [f32]) {
    let f = op.row().f32;
    for (i, y) in y.iter_mut().enumerate() {
        *y = f(a[i], b[i], p);
    }
}
