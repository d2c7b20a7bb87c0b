//! Layer norm (Ba et al. 2016) and RMS norm (Zhang & Sennrich 2019), forward and backward.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool, shapes};

/// Layer norm: y = (x − mean)·rstd·w + b over each row.  x [N, C], w and b [C] → y [N, C], (mean, rstd) [N, 2]
#[track_caller]
pub fn layer_norm(x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let (n, c) = x.rows_cols();
    shapes!("layer_norm takes x [.., C], w [C], b [C]", x [..], w [wide], b [wide_b] if wide == c && wide_b == c);
    match same_device(&[x, w, b]) {
        Device::Cpu => {
            let (mut y, mut stats) = (pool::take(n * c), pool::take(2 * n));
            cpu::layer_norm(x.data(), w.data(), b.data(), eps, &mut y, &mut stats);
            (Tensor::new(x.shape(), y), Tensor::new(&[n, 2], stats))
        }
        Device::Gpu(g) => gpu::layer_norm(&g, x, w, b, eps),
    }
}

/// The gradients of [`layer_norm`].  dy and x [N, C], w [C], stats [N, 2] → dx [N, C], dw [C], db [C]
#[track_caller]
pub fn layer_norm_back(dy: &Tensor, x: &Tensor, w: &Tensor, stats: &Tensor) -> [Tensor; 3] {
    let (n, c) = x.rows_cols();
    let fit = dy.len() == x.len() && stats.shape() == [n, 2];
    shapes!("layer_norm_back takes dy and x [N, C], stats [N, 2]", dy [..], x [..], stats [..] if fit);
    match same_device(&[dy, x, w, stats]) {
        Device::Cpu => {
            let (mut dx, mut dw, mut db) = (pool::take(n * c), pool::take(c), pool::take(c));
            cpu::layer_norm_back(dy.data(), x.data(), w.data(), stats.data(), &mut dx, &mut dw, &mut db);
            [Tensor::new(x.shape(), dx), Tensor::new(&[c], dw), Tensor::new(&[c], db)]
        }
        Device::Gpu(g) => gpu::layer_norm_back(&g, dy, x, w, stats),
    }
}

/// RMS norm: y = x·rstd·w over each row, rstd = 1/√(mean x² + eps).  x [N, C], w [C] → y [N, C], rstd [N]
#[track_caller]
pub fn rms_norm(x: &Tensor, w: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let (n, c) = x.rows_cols();
    shapes!("rms_norm takes x [.., C], w [C]", x [..], w [wide] if wide == c);
    match same_device(&[x, w]) {
        Device::Cpu => {
            let (mut y, mut rstd) = (pool::take(n * c), pool::take(n));
            cpu::rms_norm(x.data(), w.data(), eps, &mut y, &mut rstd);
            (Tensor::new(x.shape(), y), Tensor::new(&[n], rstd))
        }
        Device::Gpu(g) => gpu::rms_norm(&g, x, w, eps),
    }
}

/// The gradients of [`rms_norm`].  dy and x [N, C], w [C], rstd [N] → dx [N, C], dw [C]
#[track_caller]
pub fn rms_norm_back(dy: &Tensor, x: &Tensor, w: &Tensor, rstd: &Tensor) -> [Tensor; 2] {
    let (n, c) = x.rows_cols();
    let fit = dy.len() == x.len() && rstd.shape() == [n];
    shapes!("rms_norm_back takes dy and x [N, C], rstd [N]", dy [..], x [..], rstd [..] if fit);
    match same_device(&[dy, x, w, rstd]) {
        Device::Cpu => {
            let (mut dx, mut dw) = (pool::take(n * c), pool::take(c));
            cpu::rms_norm_back(dy.data(), x.data(), w.data(), rstd.data(), &mut dx, &mut dw);
            [Tensor::new(x.shape(), dx), Tensor::new(&[c], dw)]
        }
        Device::Gpu(g) => gpu::rms_norm_back(&g, dy, x, w, rstd),
    }
}
