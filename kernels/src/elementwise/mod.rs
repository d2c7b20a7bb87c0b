//! Functions of each element alone: one table of (name, Rust, WGSL), and updates in place.
mod cpu;
pub(crate) mod gpu;
pub mod plain;
pub(crate) mod table;

pub(crate) use cpu::{silu, silu_derivative};
pub use table::{Binary, Unary};

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool, shapes};

/// A function of each element: y[i] = op(x[i]); `p` are the op's two parameters.  any shape, same out
pub fn map(op: Unary, x: &Tensor, p: [f32; 2]) -> Tensor {
    match x.device() {
        Device::Cpu => {
            let mut y = pool::take(x.len());
            cpu::map(op, x.data(), p, &mut y);
            Tensor::new(x.shape(), y)
        }
        Device::Gpu(g) => gpu::map(&g, op, x, p),
    }
}

/// A function of two arrays' elements: y[i] = op(a[i], b[i]). Nothing broadcasts: the shapes are the same.
#[track_caller]
pub fn zip(op: Binary, a: &Tensor, b: &Tensor, p: [f32; 2]) -> Tensor {
    let takes = || format!("{} takes two arrays of one shape (nothing broadcasts by itself)", op.name());
    shapes!(takes(), a [..], b [..] if a.shape() == b.shape());
    match same_device(&[a, b]) {
        Device::Cpu => {
            let mut y = pool::take(a.len());
            cpu::zip(op, a.data(), b.data(), p, &mut y);
            Tensor::new(a.shape(), y)
        }
        Device::Gpu(g) => gpu::zip(&g, op, a, b, p),
    }
}

/// Scaled addition, in place: y += s·x. Of one number of elements.
#[track_caller]
pub fn axpy(y: &mut Tensor, s: f32, x: &Tensor) {
    shapes!("axpy takes y and x of one length", y [..], x [..] if y.len() == x.len());
    add_at(y, 0, s, x);
}

/// Scaled addition to a part, in place: y[offset..] += s·x, how gradients reach their slot of the flat buffer.
#[track_caller]
pub fn add_at(y: &mut Tensor, offset: usize, s: f32, x: &Tensor) {
    let takes = || format!("add_at {offset} takes a y that holds x from there on");
    shapes!(takes(), y [..], x [..] if offset + x.len() <= y.len());
    match same_device(&[y, x]) {
        Device::Cpu => cpu::axpy(&mut y.data_mut()[offset..][..x.len()], s, x.data()),
        Device::Gpu(g) => {
            y.unshare();
            gpu::add_at(&g, y, offset, s, x)
        }
    }
}

/// Linear interpolation, in place: y += t·(x − y), a moving average.
#[track_caller]
pub fn lerp(y: &mut Tensor, t: f32, x: &Tensor) {
    shapes!("lerp takes y and x of one length", y [..], x [..] if y.len() == x.len());
    match same_device(&[y, x]) {
        Device::Cpu => cpu::lerp(y.data_mut(), t, x.data()),
        Device::Gpu(g) => {
            y.unshare();
            gpu::lerp(&g, y, t, x)
        }
    }
}

/// Scaling, in place: y *= s.
pub fn scale_in_place(y: &mut Tensor, s: f32) {
    match y.device() {
        Device::Cpu => cpu::scale(y.data_mut(), s),
        Device::Gpu(g) => {
            y.unshare();
            gpu::scale(&g, y, s)
        }
    }
}
