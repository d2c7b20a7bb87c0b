//! Through wgpu: an invocation for each word, which is two numbers. All by bits.
use crate::Tensor;
use crate::gpu::{Buffer, Gpu, Kernel, flat_groups, read, read_buffer, wgsl, write, write_buffer};
use std::sync::Arc;

const PACK: Kernel = Kernel { name: "pack_bf16", parts: &[wgsl::GRID, include_str!("pack.wgsl")], consts: &[] };
const UNPACK: Kernel = Kernel { name: "unpack_bf16", parts: &[wgsl::GRID, include_str!("unpack.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[PACK, UNPACK])
}

#[track_caller]
pub fn pack(g: &Arc<Gpu>, x: &Tensor) -> Buffer {
    let count = x.len().div_ceil(2);
    let words = g.empty(count);
    g.run(&PACK, flat_groups(count), &[x.len() as u32, count as u32], &[read(x), write_buffer(&words)]);
    words
}

#[track_caller]
pub fn unpack(words: &Arc<Buffer>, shape: &[usize]) -> Tensor {
    let g = words.gpu();
    let y = g.array(shape);
    let params = [y.len() as u32, words.words() as u32];
    g.run(&UNPACK, flat_groups(words.words()), &params, &[read_buffer(words), write(&y)]);
    y
}
