//! Sums, always in one order.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool, shapes};

/// The sum of all elements → [1]
pub fn sum(x: &Tensor) -> Tensor {
    match x.device() {
        Device::Cpu => Tensor::scalar(cpu::sum(x.data())),
        Device::Gpu(g) => gpu::sum(&g, x),
    }
}

/// The inner product: Σ a·b over all elements → [1]
#[track_caller]
pub fn dot(a: &Tensor, b: &Tensor) -> Tensor {
    shapes!("dot takes a and b of one length", a [..], b [..] if a.len() == b.len());
    match same_device(&[a, b]) {
        Device::Cpu => Tensor::scalar(cpu::dot(a.data(), b.data())),
        Device::Gpu(g) => gpu::dot(&g, a, b),
    }
}

/// The sum of squares → [1]
pub fn sum_squares(x: &Tensor) -> Tensor {
    dot(x, x)
}

/// The sum over the rows.  x [N, C] → [C]
pub fn sum_rows(x: &Tensor) -> Tensor {
    let (_, c) = x.rows_cols();
    match x.device() {
        Device::Cpu => {
            let mut y = pool::take(c);
            cpu::sum_rows(x.data(), c, &mut y);
            Tensor::new(&[c], y)
        }
        Device::Gpu(g) => gpu::sum_rows(&g, x),
    }
}

/// How many elements are NaN or infinite, by their bits (comparisons are not to be trusted on a GPU) → [1]
pub fn count_non_finite(x: &Tensor) -> Tensor {
    match x.device() {
        Device::Cpu => Tensor::scalar(cpu::count_non_finite(x.data())),
        Device::Gpu(g) => gpu::count_non_finite(&g, x),
    }
}
