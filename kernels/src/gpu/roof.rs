//! The most that an adapter can do: arithmetic in registers, and copying.
use super::{Gpu, Kernel, flat_groups, wgsl, write};
use crate::{Device, Tensor, Unary, map};
use std::sync::Arc;
use std::time::Instant;

pub(super) const FMA: Kernel = Kernel { name: "fma_roof", parts: &[wgsl::GRID, include_str!("fma.wgsl")], consts: &[] };
/// Of an invocation.
const ROUNDS: u32 = 1 << 10;
/// Products and sums of one round of an invocation.
const OPERATIONS: f64 = 8.0 * 4.0 * 2.0;

/// The shortest of five runs that each take long enough to be measured.
fn fastest(gpu: &Gpu, work: impl Fn()) -> f64 {
    work();
    (0..5).map(|_| gpu.seconds(&work)).fold(f64::INFINITY, f64::min)
}

impl Gpu {
    /// Operations a second of a kernel that does nothing else.
    pub fn flops_roof(self: &Arc<Gpu>) -> f64 {
        let invocations = if self.is_software() { 1 << 12 } else { 1 << 20 };
        invocations as f64 * ROUNDS as f64 * OPERATIONS / fastest(self, || self.multiply(invocations))
    }

    fn multiply(self: &Arc<Gpu>, invocations: usize) {
        let y = self.array(&[invocations]);
        self.run(&FMA, flat_groups(invocations), &[ROUNDS, 0.5f32.to_bits()], &[write(&y)]);
    }

    /// Works for a moment, for what is to be timed next: a GPU that has had nothing to do runs at a fraction of its
    /// clock (an H200 at 345 of 1,980 MHz).
    pub(super) fn wake(self: &Arc<Gpu>) {
        let start = Instant::now();
        while !self.is_software() && start.elapsed().as_secs_f64() < 0.3 {
            self.multiply(1 << 18);
            self.sync();
        }
    }

    /// Bytes a second, read and written, of a kernel that copies more than a cache holds: 64 MiB, or 512.
    pub fn copy_roof(self: &Arc<Gpu>) -> f64 {
        let n = if self.is_software() { 1 << 24 } else { (1 << 27).min(self.max_binding_words()) };
        let x = Tensor::zeros(&Device::Gpu(self.clone()), &[n]);
        8.0 * n as f64 / fastest(self, || drop(map(Unary::Scale, &x, [2.0, 0.0])))
    }
}
