//! Many numbers to one: what a loss ends with.
use crate::tape::{Var, record};
use kernels::{Form, Tensor, matmul, shapes};

/// The sum of all elements: Σ x.  any shape → [1]
pub fn sum(x: &Var) -> Var {
    let like = x.value().clone();
    record("sum", [x], kernels::sum(x.value()), move |dy, _| {
        [Some(spread(&dy, &Tensor::full(&like.device(), like.shape(), 1.0)))]
    })
}

/// The mean of all elements: Σ x / n.  any shape → [1]
pub fn mean(x: &Var) -> Var {
    super::scale(&sum(x), 1.0 / x.value().len() as f32)
}

/// The weighted sum: Σ x·weights. A weight is 1.0 where a token counts.  both of one shape → [1]
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn dot(x: &Var, weights: &Tensor) -> Var {
    shapes!("dot takes x and weights of one shape", x [..], weights [..] if x.shape() == weights.shape());
    let weights = weights.clone();
    let y = kernels::dot(x.value(), &weights);
    record("dot", [x], y, move |dy, _| [Some(spread(&dy, &weights))])
}

/// dy [1] times every weight: an outer product, so that dy need not come to the host.
fn spread(dy: &Tensor, weights: &Tensor) -> Tensor {
    let column = weights.reshape(&[weights.len(), 1]);
    matmul(Form::NN, &column, &dy.reshape(&[1, 1])).reshape(weights.shape())
}
