//! Through wgpu: the same bits as on the CPU.
use crate::gpu::{Gpu, Kernel, chunks, flat_groups, read, wgsl, write};
use crate::{Rng, Tensor};
use std::sync::Arc;

const PARTS: &[&str] = &[wgsl::GRID, wgsl::PHILOX, include_str!("random.wgsl")];
const DROPOUT: Kernel = Kernel { name: "random", parts: PARTS, consts: &[("DROPOUT", 1)] };
const UNIFORM: Kernel = Kernel { name: "random", parts: PARTS, consts: &[("DROPOUT", 0)] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[DROPOUT, UNIFORM])
}

#[track_caller]
pub fn dropout(g: &Arc<Gpu>, x: &Tensor, p: f32, rng: Rng) -> Tensor {
    let y = g.array(x.shape());
    fill(g, &DROPOUT, rng, p, x, &y);
    y
}

#[track_caller]
pub fn uniform(g: &Arc<Gpu>, rng: Rng, shape: &[usize]) -> Tensor {
    let y = g.array(shape);
    // nothing is read: one number stands in for x
    fill(g, &UNIFORM, rng, 0.0, &g.array(&[1]), &y);
    y
}

#[track_caller]
fn fill(g: &Arc<Gpu>, kernel: &Kernel, rng: Rng, p: f32, x: &Tensor, y: &Tensor) {
    let (flat_x, flat_y) = (x.reshape(&[x.len()]), y.reshape(&[y.len()]));
    for chunk in chunks(y.len(), g.max_binding_words()) {
        let (n, first) = (chunk.len(), chunk.start);
        let x = if x.len() == y.len() { flat_x.view(first, &[n]) } else { flat_x.clone() };
        let y = flat_y.view(first, &[n]);
        let scale = 1.0 / (1.0 - p);
        let params = [n as u32, first as u32, rng.key[0], rng.key[1], p.to_bits(), scale.to_bits()];
        g.run(kernel, flat_groups(n.div_ceil(4)), &params, &[read(&x), write(&y)]);
    }
}
