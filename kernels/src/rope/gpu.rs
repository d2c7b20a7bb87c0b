//! Through wgpu: an invocation for each number of qkv.
use crate::gpu::{Gpu, Kernel, flat_groups, read, read_buffer, wgsl, write};
use crate::{Heads, Ids, Tensor};
use std::sync::Arc;

const ROPE: Kernel = Kernel { name: "rope", parts: &[wgsl::GRID, include_str!("rope.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[ROPE])
}

#[track_caller]
pub fn rope(g: &Arc<Gpu>, qkv: &Tensor, table: &Tensor, positions: &Ids, heads: Heads, backwards: bool) -> Tensor {
    let y = g.array(qkv.shape());
    let rotated = (heads.q + heads.kv) * heads.dim;
    let sign = if backwards { -1.0f32 } else { 1.0 };
    let [_, turned] = table.dims();
    let params = [qkv.len(), heads.qkv(), rotated, heads.dim, turned, sign.to_bits() as usize].map(|x| x as u32);
    let positions = positions.on(g);
    g.run(&ROPE, flat_groups(qkv.len()), &params, &[read(qkv), read(table), read_buffer(&positions), write(&y)]);
    y
}
