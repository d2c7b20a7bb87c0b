//! The most that an adapter can do: arithmetic in registers, and copying.
use super::{Gpu, Kernel, flat_groups, wgsl, write};
use crate::{Device, Tensor, Unary, map};
use std::sync::Arc;

pub(super) const FMA: Kernel = Kernel { name: "fma_roof", parts: &[wgsl::GRID, include_str!("fma.wgsl")], consts: &[] };
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
        let (invocations, rounds) = if self.is_software() { (1 << 12, 1 << 10) } else { (1 << 20, 1 << 10) };
        let y = self.array(&[invocations]);
        let params = [rounds as u32, 0.5f32.to_bits()];
        let seconds = fastest(self, || self.run(&FMA, flat_groups(invocations), &params, &[write(&y)]));
        invocations as f64 * rounds as f64 * OPERATIONS / seconds
    }

    /// Bytes a second, read and written, of a kernel that copies 64 MiB.
    pub fn copy_roof(self: &Arc<Gpu>) -> f64 {
        let n = 1 << 24;
        let x = Tensor::zeros(&Device::Gpu(self.clone()), &[n]);
        8.0 * n as f64 / fastest(self, || drop(map(Unary::Scale, &x, [2.0, 0.0])))
    }
}
