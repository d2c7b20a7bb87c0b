//! Through wgpu.
use crate::{Heads, Ids, Tensor, gpu::Gpu};
use std::sync::Arc;

pub fn rope(_g: &Arc<Gpu>, _qkv: &Tensor, _table: &Tensor, _positions: &Ids, _heads: Heads, _back: bool) -> Tensor {
    unimplemented!()
}
