//! The linear layer.
use crate::tape::{Var, record};
use kernels::{Form, matmul, sum_rows};

/// y = x Wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
#[track_caller]
pub fn linear(x: &Var, w: &Var, b: Option<&Var>) -> Var {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    let y = kernels::linear(&xv, &wv, b.map(Var::value));
    let dx = move |dy: &_| matmul(Form::NN, dy, &wv); // dx = dy W
    let dw = move |dy: &_| matmul(Form::TN, dy, &xv); // dW = dyᵀ x
    match b {
        None => record("linear", [x, w], y, move |dy, needs| [needs[0].then(|| dx(&dy)), needs[1].then(|| dw(&dy))]),
        Some(b) => record("linear", [x, w, b], y, move |dy, needs| {
            let db = needs[2].then(|| sum_rows(&dy)); // db = Σ dy
            [needs[0].then(|| dx(&dy)), needs[1].then(|| dw(&dy)), db]
        }),
    }
}
