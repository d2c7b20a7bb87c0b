//! Through wgpu.
use super::AdamWStep;
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, flat_groups, read, wgsl, windows, write};
use std::sync::Arc;

const ADAMW: Kernel = Kernel { name: "adamw", parts: &[wgsl::GRID, include_str!("adamw.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[ADAMW])
}

#[track_caller]
pub fn adamw(gpu: &Arc<Gpu>, p: &mut Tensor, g: &Tensor, m: &mut Tensor, v: &mut Tensor, s: &AdamWStep) {
    for window in windows(p.len(), gpu.max_binding_words()) {
        let part = |x: &Tensor| x.reshape(&[x.len()]).window(window.start, &[window.len()]);
        let sizes = [window.len() as u32, s.decayed.saturating_sub(window.start).min(window.len()) as u32];
        let numbers = [s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.correction1, s.correction2, s.grad_scale];
        let params: Vec<u32> = sizes.into_iter().chain(numbers.map(f32::to_bits)).collect();
        let (p, g, m, v) = (part(p), part(g), part(m), part(v));
        gpu.run(&ADAMW, flat_groups(window.len()), &params, &[write(&p), read(&g), write(&m), write(&v)]);
    }
}
