//! Through wgpu.
use crate::{Ids, Tensor, gpu::Gpu};
use std::sync::Arc;

pub fn logprob(_g: &Arc<Gpu>, _logits: &Tensor, _ids: &Ids) -> (Tensor, Tensor) {
    unimplemented!()
}
pub fn logprob_back(_g: &Arc<Gpu>, _d: &Tensor, _logits: Tensor, _ids: &Ids, _lse: &Tensor) -> Tensor {
    unimplemented!()
}
pub fn entropy(_g: &Arc<Gpu>, _logits: &Tensor, _lse: &Tensor) -> Tensor {
    unimplemented!()
}
