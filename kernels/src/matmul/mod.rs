//! Matrix products in the three forms that training needs: forward, dx and dW.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Tensor, cpu::pool};

/// Which operand is read transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// a [M, K] · b [K, N]
    NN,
    /// a [M, K] · bᵀ, b [N, K]
    NT,
    /// aᵀ · b, a [K, M], b [K, N]
    TN,
}

/// M, N and K of one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub m: usize,
    pub n: usize,
    pub k: usize,
}

#[track_caller]
fn size(form: Form, a: &Tensor, b: &Tensor) -> Size {
    let ([ar, ac], [br, bc]) = (a.dims(), b.dims());
    let (m, k) = if form == Form::TN { (ac, ar) } else { (ar, ac) };
    let (n, k2) = if form == Form::NT { (br, bc) } else { (bc, br) };
    assert_eq!(k, k2, "matmul {form:?}: {:?} and {:?} do not fit", a.shape(), b.shape());
    Size { m, n, k }
}

/// The product of two matrices → [M, N]
#[track_caller]
pub fn matmul(form: Form, a: &Tensor, b: &Tensor) -> Tensor {
    let s = size(form, a, b);
    match same_device(&[a, b]) {
        Device::Cpu => {
            let mut c = pool::take(s.m * s.n);
            cpu::matmul(form, s, a.data(), b.data(), None, false, &mut c);
            Tensor::new(&[s.m, s.n], c)
        }
        Device::Gpu(g) => gpu::matmul(&g, form, s, a, b, None),
    }
}

/// c += product. `c` may be any window of M·N elements.
#[track_caller]
pub fn matmul_add(c: &mut Tensor, form: Form, a: &Tensor, b: &Tensor) {
    let s = size(form, a, b);
    assert_eq!(c.len(), s.m * s.n, "matmul_add {form:?}: {:?} · {:?} into {:?}", a.shape(), b.shape(), c.shape());
    match same_device(&[a, b, c]) {
        Device::Cpu => cpu::matmul(form, s, a.data(), b.data(), None, true, c.data_mut()),
        Device::Gpu(g) => gpu::matmul_add(&g, form, s, a, b, c),
    }
}

/// y = x wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
#[track_caller]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let s = size(Form::NT, x, w);
    if let Some(b) = b {
        assert_eq!(b.shape(), [s.n], "linear: bias of {:?} · {:?}ᵀ", x.shape(), w.shape());
    }
    match same_device(&[x, w]) {
        Device::Cpu => {
            let mut y = pool::take(s.m * s.n);
            cpu::matmul(Form::NT, s, x.data(), w.data(), b.map(|b| b.data()), false, &mut y);
            Tensor::new(&[s.m, s.n], y)
        }
        Device::Gpu(g) => gpu::matmul(&g, Form::NT, s, x, w, b),
    }
}
