//! Slices of columns of a matrix: cut out, and put back.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool, shapes};
use std::ops::Range;

/// A slice of columns: those in `range`.  x [N, C] → [N, range]
#[track_caller]
pub fn slice_columns(x: &Tensor, range: Range<usize>) -> Tensor {
    let takes = || format!("slice_columns {range:?} takes x [N, C] with such columns");
    shapes!(takes(), x [n, c] if range.start <= range.end && range.end <= c);
    match x.device() {
        Device::Cpu => {
            let mut y = pool::take(n * range.len());
            cpu::copy(x.data(), c, range.start, &mut y, range.len(), 0, range.len());
            Tensor::new(&[n, range.len()], y)
        }
        Device::Gpu(g) => gpu::slice_columns(&g, x, range),
    }
}

/// Assignment to a slice of columns, in place: y[n, start..] = x[n].  y [N, C], x [N, W]
#[track_caller]
pub fn set_columns(y: &mut Tensor, start: usize, x: &Tensor) {
    let takes = || format!("set_columns from {start} on takes y [N, C], x [N, W] with {start} + W <= C");
    shapes!(takes(), y [n, c], x [rows, w] if n == rows && start + w <= c);
    match same_device(&[y, x]) {
        Device::Cpu => cpu::copy(x.data(), w, 0, y.data_mut(), c, start, w),
        Device::Gpu(g) => {
            y.unshare();
            gpu::set_columns(&g, y, start, x)
        }
    }
}
