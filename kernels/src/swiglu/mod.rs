//! The gated MLP of Llama (Shazeer 2020, arXiv 2002.05202). Gate and up lie side by side in one row.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool, shapes};

/// SwiGLU: y = silu(gate) · up.  gu [N, 2F]: gate, then up → [N, F]
#[track_caller]
pub fn swiglu(gu: &Tensor) -> Tensor {
    shapes!("swiglu takes gu [N, 2F]", gu [n, two_f] if two_f % 2 == 0);
    match gu.device() {
        Device::Cpu => {
            let mut y = pool::take(n * two_f / 2);
            cpu::swiglu(gu.data(), two_f / 2, &mut y);
            Tensor::new(&[n, two_f / 2], y)
        }
        Device::Gpu(g) => gpu::swiglu(&g, gu),
    }
}

/// The gradient of [`swiglu`].  dy [N, F], gu [N, 2F] → dgu [N, 2F]
#[track_caller]
pub fn swiglu_back(dy: &Tensor, gu: &Tensor) -> Tensor {
    shapes!("swiglu_back takes dy [N, F], gu [N, 2F]", dy [n, f], gu [n2, two_f] if n == n2 && 2 * f == two_f);
    match same_device(&[dy, gu]) {
        Device::Cpu => {
            let mut dgu = pool::take(gu.len());
            cpu::swiglu_back(dy.data(), gu.data(), f, &mut dgu);
            Tensor::new(gu.shape(), dgu)
        }
        Device::Gpu(g) => gpu::swiglu_back(&g, dy, gu),
    }
}
