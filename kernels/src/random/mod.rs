//! Random arrays and dropout from the counter-based generator: element i depends on (rng, i) alone.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::{Device, Rng, Tensor, cpu::pool};

/// Dropout: element i is kept, and scaled by 1/(1−p), where `rng.unit_at(i) >= p`; else 0. Its own backward.
pub fn dropout(x: &Tensor, p: f32, rng: Rng) -> Tensor {
    match x.device() {
        Device::Cpu => {
            let mut y = pool::take(x.len());
            cpu::dropout(x.data(), p, rng, &mut y);
            Tensor::new(x.shape(), y)
        }
        Device::Gpu(g) => gpu::dropout(&g, x, p, rng),
    }
}

/// Uniform numbers in (0, 1): element i is `rng.unit_at(i)`.
pub fn uniform(rng: Rng, device: &Device, shape: &[usize]) -> Tensor {
    match device {
        Device::Cpu => {
            let mut y = pool::take(shape.iter().product());
            cpu::uniform(rng, &mut y);
            Tensor::new(shape, y)
        }
        Device::Gpu(g) => gpu::uniform(g, rng, shape),
    }
}

/// Normal numbers with mean 0: element i is `std · rng.normal_at(i)`. Made on the host, so that a model starts
/// from the same bits on every device.
pub fn normal(rng: Rng, device: &Device, shape: &[usize], std: f32) -> Tensor {
    let mut y = pool::take(shape.iter().product());
    cpu::normal(rng, std, &mut y);
    Tensor::new(shape, y).to(device)
}
