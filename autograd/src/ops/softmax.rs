//! Probabilities of each row.
use crate::tape::{Var, record};
use kernels::{Binary, Form, Ids, Tensor, Unary, map, matmul, zip};

const NONE: [f32; 2] = [0.0; 2];

/// Softmax over the last axis: eˣ / Σ eˣ, without overflow.  x [.., C] → [.., C]
///
/// What must not be seen is given a score of −1e9 before. A loss is better made of [`logprob`](super::logprob), which
/// keeps no probabilities; attention is an op of its own.
pub fn softmax(x: &Var) -> Var {
    let (n, c) = x.value().rows_cols();
    let (rows, shape) = (x.value().reshape(&[n, c]), x.shape().to_vec());
    let (_, lse) = kernels::logprob(&rows, &Ids::new(vec![0; n]));
    let y = map(Unary::Exp, &zip(Binary::Sub, &rows, &spread(&lse, c), NONE), NONE);
    let yv = y.clone();
    record("softmax", [x], y.reshape(&shape), move |dy, _| {
        let dy = zip(Binary::Mul, &dy.reshape(&[n, c]), &yv, NONE);
        let total = matmul(Form::NN, &dy, &Tensor::full(&dy.device(), &[c, 1], 1.0)); // Σ dy·y of each row
        let dx = zip(Binary::Sub, &dy, &zip(Binary::Mul, &yv, &spread(&total, c), NONE), NONE); // y(dy − Σ dy·y)
        [Some(dx.reshape(&shape))]
    })
}

/// The number of each row in all of its columns, as an outer product.  x [N] or [N, 1] → [N, c]
fn spread(x: &Tensor, c: usize) -> Tensor {
    matmul(Form::NN, &x.reshape(&[x.len(), 1]), &Tensor::full(&x.device(), &[1, c], 1.0))
}
