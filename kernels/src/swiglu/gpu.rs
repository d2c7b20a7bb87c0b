//! Through wgpu: an invocation for each element of y.
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, flat_groups, read, wgsl, write};
use std::sync::Arc;

const SWIGLU: Kernel = Kernel { name: "swiglu", parts: &[wgsl::GRID, include_str!("swiglu.wgsl")], consts: &[] };
const SWIGLU_BACK: Kernel =
    Kernel { name: "swiglu_back", parts: &[wgsl::GRID, include_str!("swiglu_back.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[SWIGLU, SWIGLU_BACK])
}

#[track_caller]
pub fn swiglu(g: &Arc<Gpu>, gu: &Tensor) -> Tensor {
    let [n, two_f] = gu.dims();
    let y = g.array(&[n, two_f / 2]);
    g.run(&SWIGLU, flat_groups(y.len()), &[y.len() as u32, two_f as u32 / 2], &[read(gu), write(&y)]);
    y
}

#[track_caller]
pub fn swiglu_back(g: &Arc<Gpu>, dy: &Tensor, gu: &Tensor) -> Tensor {
    let [_, f] = dy.dims();
    let dgu = g.array(gu.shape());
    g.run(&SWIGLU_BACK, flat_groups(dy.len()), &[dy.len() as u32, f as u32], &[read(dy), read(gu), write(&dgu)]);
    dgu
}
