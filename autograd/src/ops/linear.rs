//! Matrix products, and the linear layer.
use crate::tape::{Gradient, Product, Var, record, record_products};
use kernels::{Bf16, Form, Precision, linear_bf16_back, matmul_in, sum_rows};

/// The product of two matrices.  a [M, K], b [K, N] → [M, N]
///
/// # Panics
/// If they are no matrices, or K is not the same.
#[track_caller]
pub fn matmul(a: &Var, b: &Var) -> Var {
    let (av, bv) = (a.value().clone(), b.value().clone());
    let y = kernels::matmul(Form::NN, &av, &bv);
    record("matmul", [a, b], y, move |dy, needs| {
        let da = needs[0].then(|| kernels::matmul(Form::NT, &dy, &bv)); // da = dy bᵀ
        let db = needs[1].then(|| kernels::matmul(Form::TN, &av, &dy)); // db = aᵀ dy
        [da, db]
    })
}

/// The linear layer, in f32: y = x Wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
///
/// # Panics
/// If I of x and of w, or O of w and of b, differ.
#[track_caller]
pub fn linear(x: &Var, w: &Var, b: Option<&Var>) -> Var {
    linear_in(Precision::F32, x, w, b)
}

/// The linear layer: y = x Wᵀ + b; all three products, the two of the way back too, multiply in `precision`.
/// x [N, I], w [O, I], b [O] → [N, O]
///
/// # Panics
/// If I of x and of w, or O of w and of b, differ.
#[track_caller]
pub fn linear_in(precision: Precision, x: &Var, w: &Var, b: Option<&Var>) -> Var {
    let (saved, wv) = (x.save(), w.value().clone());
    let y = kernels::linear_in(precision, x.value(), &wv, b.map(Var::value));
    let dx = move |dy: &_| Gradient::Array(matmul_in(precision, Form::NN, dy, &wv)); // dx = dy W
    let dw = move |dy| Gradient::Product(Product { precision, form: Form::TN, a: dy, b: saved.tensor() }); // dW = dyᵀ x
    match b {
        None => record_products("linear", [x, w], y, move |dy, needs| {
            let dx = needs[0].then(|| dx(&dy));
            [dx, needs[1].then(|| dw(dy))]
        }),
        Some(b) => record_products("linear", [x, w, b], y, move |dy, needs| {
            let (dx, db) = (needs[0].then(|| dx(&dy)), needs[2].then(|| Gradient::Array(sum_rows(&dy)))); // db = Σ dy
            [dx, needs[1].then(|| dw(dy)), db]
        }),
    }
}

/// The linear layer with weights that do not learn, in bf16: y = x Wᵀ + b.  x [N, I], w [O, I], b [O] → [N, O]
///
/// # Panics
/// If I of x and of w, or O of w and of b, differ.
#[track_caller]
pub fn linear_bf16(precision: Precision, x: &Var, w: &Bf16, b: Option<&Var>) -> Var {
    let (y, w) = (kernels::linear_bf16(precision, x.value(), w, b.map(Var::value)), w.clone());
    let dx = move |dy: &_| linear_bf16_back(precision, dy, &w); // dx = dy W
    match b {
        None => record("linear_bf16", [x], y, move |dy, _| [Some(dx(&dy))]),
        Some(b) => record("linear_bf16", [x, b], y, move |dy, needs| {
            [needs[0].then(|| dx(&dy)), needs[1].then(|| sum_rows(&dy))]
        }),
    }
}
