//! Through wgpu.
use crate::{Heads, Ids, Segments, Tensor, gpu::Gpu};
use std::sync::Arc;

pub fn attention(_g: &Arc<Gpu>, _qkv: &Tensor, _seg: &Segments, _heads: Heads) -> (Tensor, Tensor) {
    unimplemented!()
}
pub fn attention_back(
    _g: &Arc<Gpu>,
    _dy: &Tensor,
    _qkv: &Tensor,
    _y: &Tensor,
    _lse: &Tensor,
    _seg: &Segments,
    _heads: Heads,
) -> Tensor {
    unimplemented!()
}
pub fn kv_append(
    _g: &Arc<Gpu>,
    _k: &mut Tensor,
    _v: &mut Tensor,
    _qkv: &Tensor,
    _slots: &Ids,
    _positions: &Ids,
    _heads: Heads,
) {
    unimplemented!()
}
pub fn attention_cached(
    _g: &Arc<Gpu>,
    _qkv: &Tensor,
    _k: &Tensor,
    _v: &Tensor,
    _slots: &Ids,
    _positions: &Ids,
    _heads: Heads,
) -> Tensor {
    unimplemented!()
}
