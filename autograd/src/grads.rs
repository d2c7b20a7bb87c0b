//! Gradients, laid out as their parameters.
use crate::params::{Layout, ParamId};
use crate::tape::Product;
use kernels::Tensor;
use std::sync::Arc;

/// Gradients, laid out as their parameters. They accumulate until `zero`.
#[derive(Clone)]
pub struct Grads {
    pub(crate) flat: Tensor,
    pub(crate) layout: Arc<Layout>,
}

impl Grads {
    /// All gradients, as their parameters lie.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// To write in place with a kernel.
    pub fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    /// The gradient of one parameter: a view.
    pub fn get(&self, id: ParamId) -> Tensor {
        self.layout.view(&self.flat, id)
    }

    pub(crate) fn add(&mut self, id: ParamId, gradient: &Tensor) {
        kernels::add_at(&mut self.flat, self.layout.slot(id).offset, 1.0, gradient);
    }

    pub(crate) fn add_product(&mut self, id: ParamId, product: &Product) {
        let Product { precision, form, a, b } = product;
        let offset = self.layout.slot(id).offset;
        kernels::matmul_add_at(&mut self.flat, offset, *precision, *form, a, b);
    }

    /// All 0 again.
    pub fn zero(&mut self) {
        let (device, total) = (self.flat.device(), self.layout.total);
        self.flat = Tensor::scalar(0.0); // gives the memory back, to be taken again at once
        self.flat = Tensor::zeros(&device, &[total]); // 0 · NaN would stay NaN
    }

    /// All times s.
    pub fn scale(&mut self, s: f32) {
        kernels::scale_in_place(&mut self.flat, s);
    }

    /// Euclidean norm of all gradients together. Waits for the device.
    pub fn norm(&self) -> f32 {
        kernels::sum_squares(&self.flat).item().sqrt()
    }
}
