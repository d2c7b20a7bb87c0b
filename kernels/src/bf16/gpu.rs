//! Through wgpu.
use crate::{Tensor, gpu::Buffer, gpu::Gpu};
use std::sync::Arc;

pub fn pack(_g: &Arc<Gpu>, _x: &Tensor) -> Buffer {
    unimplemented!()
}
pub fn unpack(_words: &Arc<Buffer>, _shape: &[usize]) -> Tensor {
    unimplemented!()
}
