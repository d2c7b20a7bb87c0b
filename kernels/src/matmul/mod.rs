//! Matrix products in the three forms that training needs: forward, dx and dW.
mod cpu;
pub(crate) mod gpu;
mod parts;
pub mod plain;

use crate::cpu::gemm::{Beta, Panels};
use crate::cpu::pool;
use crate::tensor::same_device;
use crate::{Bf16, Device, Tensor, shapes, unpack_bf16};

/// The precision of a product: how it multiplies. Arrays are f32 either way, and sums are kept in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// As the numbers are.
    #[default]
    F32,
    /// Both operands are rounded to bf16 on the way: mixed precision, without a second kind of array.
    Bf16,
}

impl Precision {
    /// As flags and logs call it: `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }

    /// What an operand becomes.
    pub fn round(self, x: f32) -> f32 {
        match self {
            Precision::F32 => x,
            Precision::Bf16 => f32::from_bits((crate::bf16::plain::round(x) as u32) << 16),
        }
    }
}

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
    /// Rows of a, and of the product.
    pub m: usize,
    /// Columns of b, and of the product.
    pub n: usize,
    /// What is summed over.
    pub k: usize,
}

#[track_caller]
fn size(form: Form, a: &Tensor, b: &Tensor) -> Size {
    let takes = match form {
        Form::NN => "matmul takes a [M, K], b [K, N]",
        Form::NT => "matmul NT takes a [M, K], b [N, K]",
        Form::TN => "matmul TN takes a [K, M], b [K, N]",
    };
    shapes!(takes, a [ar, ac], b [br, bc]);
    let (m, k) = if form == Form::TN { (ac, ar) } else { (ar, ac) };
    let (n, k2) = if form == Form::NT { (br, bc) } else { (bc, br) };
    shapes!(takes, a [..], b [..] if k == k2);
    Size { m, n, k }
}

/// The same of a linear layer, in its words.
#[track_caller]
fn linear_size(x: &Tensor, w: &[usize], b: Option<&Tensor>) -> Size {
    match (x.shape(), w, b.map(Tensor::shape)) {
        (&[m, k], &[n, inner], None) if k == inner => Size { m, n, k },
        (&[m, k], &[n, inner], Some(&[o])) if k == inner && o == n => Size { m, n, k },
        (x, w, None) => panic!("linear takes x [N, I], w [O, I]; got x {x:?}, w {w:?}"),
        (x, w, Some(b)) => panic!("linear takes x [N, I], w [O, I], b [O]; got x {x:?}, w {w:?}, b {b:?}"),
    }
}

/// The product of two matrices in f32 → [M, N]
#[track_caller]
pub fn matmul(form: Form, a: &Tensor, b: &Tensor) -> Tensor {
    matmul_in(Precision::F32, form, a, b)
}

/// The product of two matrices → [M, N]
#[track_caller]
pub fn matmul_in(precision: Precision, form: Form, a: &Tensor, b: &Tensor) -> Tensor {
    let s = size(form, a, b);
    match same_device(&[a, b]) {
        Device::Cpu => {
            let mut c = pool::take(s.m * s.n);
            cpu::matmul(form, s, a.data(), b.data(), Beta::Zero, precision, &mut c);
            Tensor::new(&[s.m, s.n], c)
        }
        Device::Gpu(g) => gpu::matmul(&g, precision, form, s, [a, b], None),
    }
}

/// An accumulated product: the M·N numbers of c from `offset` on += it, where gradients of a matrix accumulate.
#[track_caller]
pub fn matmul_add_at(c: &mut Tensor, offset: usize, precision: Precision, form: Form, a: &Tensor, b: &Tensor) {
    let s = size(form, a, b);
    let (len, end) = (c.len(), offset + s.m * s.n);
    assert!(end <= len, "matmul_add_at {form:?}: {:?} · {:?} at {offset} of {len}", a.shape(), b.shape());
    match same_device(&[a, b, c]) {
        Device::Cpu => cpu::matmul(form, s, a.data(), b.data(), Beta::One, precision, &mut c.data_mut()[offset..end]),
        Device::Gpu(g) => {
            c.unshare();
            gpu::matmul_add(&g, precision, form, s, [a, b], &c.reshape(&[len]).view(offset, &[s.m, s.n]));
        }
    }
}

/// The linear layer, in f32: y = x wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
#[track_caller]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    linear_in(Precision::F32, x, w, b)
}

/// The linear layer: y = x wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
#[track_caller]
pub fn linear_in(precision: Precision, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let s = linear_size(x, w.shape(), b);
    match same_device(&[x, w]) {
        Device::Cpu => {
            let mut y = pool::take(s.m * s.n);
            let beta = b.map_or(Beta::Zero, |b| Beta::Bias(b.data()));
            cpu::matmul(Form::NT, s, x.data(), w.data(), beta, precision, &mut y);
            Tensor::new(&[s.m, s.n], y)
        }
        Device::Gpu(g) => gpu::matmul(&g, precision, Form::NT, s, [x, w], b),
    }
}

/// The linear layer with weights in bf16: half the bytes for decoding to read.
#[track_caller]
pub fn linear_bf16(precision: Precision, x: &Tensor, w: &Bf16, b: Option<&Tensor>) -> Tensor {
    let s = linear_size(x, w.shape(), b);
    let Some(words) = w.host() else { return linear_in(precision, x, &unpack_bf16(w), b) };
    let mut y = pool::take(s.m * s.n);
    let beta = b.map_or(Beta::Zero, |b| Beta::Bias(b.data()));
    cpu::linear_bf16(s, x.data(), words, beta, precision, &mut y);
    Tensor::new(&[s.m, s.n], y)
}

/// The gradient of [`linear_bf16`] by x: dx = dy w.  dy [N, O], w [O, I] → [N, I]
#[track_caller]
pub fn linear_bf16_back(precision: Precision, dy: &Tensor, w: &Bf16) -> Tensor {
    shapes!("linear_bf16_back takes dy [N, O], w [O, I]", dy [m, n], w [outer, k] if n == outer);
    let Some(words) = w.host() else { return matmul_in(precision, Form::NN, dy, &unpack_bf16(w)) };
    let mut dx = pool::take(m * k);
    cpu::linear_bf16_back(Size { m, n, k }, dy.data(), words, precision, &mut dx);
    Tensor::new(&[m, k], dx)
}

/// Packed weights: a copy on the CPU as the product wants it, for many products.
pub struct Packed(Panels);

impl Packed {
    /// Those of w [O, I].
    #[track_caller]
    pub fn new(precision: Precision, w: &Tensor) -> Packed {
        shapes!("Packed::new takes w [O, I]", w [outputs, inputs]);
        Packed(Panels::new(precision, [outputs, inputs], w.data()))
    }
}

/// The linear layer with packed weights.  x [N, I], w [O, I], b [O] → [N, O]
#[track_caller]
pub fn linear_packed(x: &Tensor, w: &Packed, b: Option<&Tensor>) -> Tensor {
    let Size { m, n, .. } = linear_size(x, &w.0.shape(), b);
    let mut y = pool::take(m * n);
    w.0.multiply(m, x.data(), b.map_or(Beta::Zero, |b| Beta::Bias(b.data())), &mut y);
    Tensor::new(&[m, n], y)
}
