//! Through wgpu.
use super::AdamWStep;
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, Rungs, flat_groups, log2, read, wgsl, windows, write};
use std::sync::Arc;

pub const RUNGS: &[&str] = &["one", "vec4"];
const ADAMW: [Kernel; 2] = [
    Kernel { name: "adamw", parts: &[wgsl::GRID, include_str!("adamw.wgsl")], consts: &[] },
    Kernel { name: "adamw4", parts: &[wgsl::GRID, include_str!("adamw4.wgsl")], consts: &[] },
];
/// Elements that a rung is tried on: a trial needs copies.
const TRIAL: usize = 1 << 22;

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&ADAMW)
}

#[track_caller]
pub fn adamw(gpu: &Arc<Gpu>, p: &mut Tensor, g: &Tensor, m: &mut Tensor, v: &mut Tensor, s: &AdamWStep) {
    let n = p.len();
    let fours = n.is_multiple_of(4) && s.decayed.is_multiple_of(4);
    let class = [log2(n), fours as u32, 0, 0, 0, 0];
    let rung = gpu.chosen("adamw", class).unwrap_or_else(|| {
        let shaders = |rung: usize| (rung == 0 || fours).then(|| vec![ADAMW[rung].shader()]);
        let part = |x: &Tensor| x.reshape(&[n]).window(0, &[n.min(TRIAL)]);
        let copy = |x: &Tensor| {
            let mut copy = part(x);
            copy.unshare();
            copy
        };
        gpu.choose(&Rungs { kernel: "adamw", class, names: RUNGS, usual: 1, shaders: &shaders }, &mut |rung| {
            let all = [copy(p), copy(m), copy(v)];
            step(gpu, rung, &all[0], &part(g), &all[1], &all[2], s);
            all.into()
        })
    });
    step(gpu, rung, p, g, m, v, s);
}

#[track_caller]
fn step(gpu: &Arc<Gpu>, rung: usize, p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, s: &AdamWStep) {
    let fold = if rung == 1 { 4 } else { 1 };
    for window in windows(p.len(), gpu.max_binding_words()) {
        let part = |x: &Tensor| x.reshape(&[x.len()]).window(window.start, &[window.len()]);
        let sizes = [window.len(), s.decayed.saturating_sub(window.start).min(window.len())].map(|n| (n / fold) as u32);
        let numbers = [s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.correction1, s.correction2, s.grad_scale];
        let params: Vec<u32> = sizes.into_iter().chain(numbers.map(f32::to_bits)).collect();
        let (p, g, m, v) = (part(p), part(g), part(m), part(v));
        let args = [write(&p), read(&g), write(&m), write(&v)];
        gpu.run(&ADAMW[rung], flat_groups(window.len() / fold), &params, &args);
    }
}
