//! Through wgpu.
use crate::{Tensor, gpu::Gpu};
use std::sync::Arc;

pub fn swiglu(_g: &Arc<Gpu>, _gu: &Tensor) -> Tensor {
    unimplemented!()
}
pub fn swiglu_back(_g: &Arc<Gpu>, _dy: &Tensor, _gu: &Tensor) -> Tensor {
    unimplemented!()
}
