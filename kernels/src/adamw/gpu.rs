//! Through wgpu.
use super::AdamWStep;
use crate::Tensor;
use crate::gpu::{Compiled, Gpu, Kernel, Rungs, chunks, compiled, flat_groups, log2, read, wgsl, write};
use std::fmt;
use std::sync::Arc;

/// How many numbers an invocation takes.
#[derive(Clone, Copy, PartialEq)]
pub struct Rung {
    width: usize,
}
const ONE: Rung = Rung { width: 1 };
const VEC4: Rung = Rung { width: 4 };
pub const RUNGS: &[Rung] = &[ONE, VEC4];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(if *self == ONE { "one" } else { "vec4" })
    }
}

impl Rung {
    fn kernel(self) -> Kernel<'static> {
        if self == ONE {
            Kernel { name: "adamw", parts: &[wgsl::GRID, include_str!("adamw.wgsl")], consts: &[] }
        } else {
            Kernel { name: "adamw4", parts: &[wgsl::GRID, include_str!("adamw4.wgsl")], consts: &[] }
        }
    }
}

/// Elements that a rung is tried on: a trial needs copies.
const TRIAL: usize = 1 << 22;

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[ONE.kernel(), VEC4.kernel()])
}

#[track_caller]
pub fn adamw(gpu: &Arc<Gpu>, p: &mut Tensor, g: &Tensor, m: &mut Tensor, v: &mut Tensor, s: &AdamWStep) {
    let n = p.len();
    let fours = n.is_multiple_of(4) && s.decayed.is_multiple_of(4);
    let class = [log2(n), fours as u32, 0, 0, 0, 0];
    let shaders = |rung: Rung| (rung == ONE || fours).then(|| vec![rung.kernel().shader()]);
    let part = |x: &Tensor| x.reshape(&[n]).view(0, &[n.min(TRIAL)]);
    let copy = |x: &Tensor| {
        let mut copy = part(x);
        copy.unshare();
        copy
    };
    let rungs = Rungs { kernel: "adamw", class, all: RUNGS, default: VEC4, rounds: false, shaders: &shaders };
    let rung = gpu.choose(&rungs, &mut |rung| {
        let all = [copy(p), copy(m), copy(v)];
        step(gpu, rung, &all[0], &part(g), &all[1], &all[2], s)?;
        Ok(all.into())
    });
    compiled(step(gpu, rung, p, g, m, v, s));
}

#[track_caller]
fn step(gpu: &Arc<Gpu>, rung: Rung, p: &Tensor, g: &Tensor, m: &Tensor, v: &Tensor, s: &AdamWStep) -> Compiled<()> {
    for chunk in chunks(p.len(), gpu.max_binding_words()) {
        let part = |x: &Tensor| x.reshape(&[x.len()]).view(chunk.start, &[chunk.len()]);
        let sizes =
            [chunk.len(), s.decayed.saturating_sub(chunk.start).min(chunk.len())].map(|n| (n / rung.width) as u32);
        let numbers = [s.lr, s.beta1, s.beta2, s.eps, s.weight_decay, s.correction1, s.correction2, s.grad_scale];
        let params: Vec<u32> = sizes.into_iter().chain(numbers.map(f32::to_bits)).collect();
        let (p, g, m, v) = (part(p), part(g), part(m), part(v));
        let args = [write(&p), read(&g), write(&m), write(&v)];
        gpu.try_run(&rung.kernel(), flat_groups(chunk.len() / rung.width), &params, &args)?;
    }
    Ok(())
}
