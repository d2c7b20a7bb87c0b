//! One step of AdamW (Loshchilov & Hutter 2019) over flat buffers, in place.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, shapes};

/// The constants of one AdamW step.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// The learning rate.
    pub lr: f32,
    /// How much of the mean of gradients stays.
    pub beta1: f32,
    /// How much of the mean of squares stays.
    pub beta2: f32,
    /// Added to √v̂.
    pub eps: f32,
    /// The decay λ: p −= lr·λ·p.
    pub weight_decay: f32,
    /// Elements before this one decay, the others (biases, norms) do not.
    pub decayed: usize,
    /// 1 − beta1^t
    pub correction1: f32,
    /// 1 − beta2^t
    pub correction2: f32,
    /// What the gradient is multiplied by first (clipping).
    pub grad_scale: f32,
}

/// One AdamW step, in place: m and v follow the gradient; p −= lr·(m̂ / (√v̂ + eps) + weight_decay·p).
/// All of one length.
#[track_caller]
pub fn adamw(p: &mut Tensor, g: &Tensor, m: &mut Tensor, v: &mut Tensor, step: &AdamWStep) {
    let n = p.len();
    let same = [g.len(), m.len(), v.len()] == [n; 3];
    shapes!("adamw takes p, g, m, v of one length", p [..], g [..], m [..], v [..] if same);
    match same_device(&[p, g, m, v]) {
        Device::Cpu => cpu::adamw(p.data_mut(), g.data(), m.data_mut(), v.data_mut(), step),
        Device::Gpu(gpu) => {
            for x in [&mut *p, m, v] {
                x.unshare();
            }
            gpu::adamw(&gpu, p, g, m, v, step)
        }
    }
}
