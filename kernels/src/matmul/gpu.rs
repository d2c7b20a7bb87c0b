//! Through wgpu.
use super::{Form, Size};
use crate::{Tensor, gpu::Gpu};
use std::sync::Arc;

pub fn matmul(_g: &Arc<Gpu>, _form: Form, _s: Size, _a: &Tensor, _b: &Tensor, _bias: Option<&Tensor>) -> Tensor {
    unimplemented!()
}
pub fn matmul_add(_g: &Arc<Gpu>, _form: Form, _s: Size, _a: &Tensor, _b: &Tensor, _c: &mut Tensor) {
    unimplemented!()
}
