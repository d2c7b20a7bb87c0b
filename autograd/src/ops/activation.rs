//! Functions of one number, and SwiGLU.
use crate::tape::{Var, record};
use kernels::{Binary, Tensor, Unary, map, zip};

const NONE: [f32; 2] = [0.0; 2];

/// y = f(x), where the derivative is a function of (dy, x). Only x is saved.
fn activation(name: &'static str, f: Unary, back: Binary, x: &Var) -> Var {
    let (xv, again) = (x.value().clone(), x.value().clone());
    record(name, [x], map(f, &xv, NONE), move |dy, _| [Some(zip(back, &dy, &xv, NONE))])
        .recomputed_by(move || map(f, &again, NONE))
}

/// ReLU: max(x, 0); at 0 no gradient.
pub fn relu(x: &Var) -> Var {
    activation("relu", Unary::Relu, Binary::ReluBack, x)
}

/// Gelu by its tanh approximation: GPT-2's `gelu_new`.
pub fn gelu(x: &Var) -> Var {
    activation("gelu", Unary::Gelu, Binary::GeluBack, x)
}

/// Gelu by its definition, with the error function: `gelu` of PyTorch.
pub fn gelu_erf(x: &Var) -> Var {
    activation("gelu_erf", Unary::GeluErf, Binary::GeluErfBack, x)
}

/// SiLU: x·σ(x)
pub fn silu(x: &Var) -> Var {
    activation("silu", Unary::Silu, Binary::SiluBack, x)
}

/// Log-sigmoid: log σ(x), without overflow on either side.
pub fn log_sigmoid(x: &Var) -> Var {
    activation("log_sigmoid", Unary::LogSigmoid, Binary::LogSigmoidBack, x)
}

/// Sigmoid: σ(x);  dσ = σ(1 - σ)
pub fn sigmoid(x: &Var) -> Var {
    let y = map(Unary::Sigmoid, x.value(), NONE);
    let yv = y.clone();
    record("sigmoid", [x], y, move |dy, _| {
        let derivative = zip(Binary::Sub, &yv, &times(&yv, &yv), NONE);
        [Some(times(&dy, &derivative))]
    })
}

/// Hyperbolic tangent: tanh x;  dy(1 − tanh²)
pub fn tanh(x: &Var) -> Var {
    let y = map(Unary::Tanh, x.value(), NONE);
    let yv = y.clone();
    record("tanh", [x], y, move |dy, _| {
        let lost = times(&dy, &map(Unary::Square, &yv, NONE));
        [Some(zip(Binary::Sub, &dy, &lost, NONE))]
    })
}

/// Natural logarithm: ln x, of positive numbers (of 0 it is −∞, of others NaN);  dy/x
pub fn log(x: &Var) -> Var {
    let xv = x.value().clone();
    record("log", [x], map(Unary::Log, &xv, NONE), move |dy, _| [Some(zip(Binary::Div, &dy, &xv, NONE))])
}

/// Exponential: eˣ
pub fn exp(x: &Var) -> Var {
    let y = map(Unary::Exp, x.value(), NONE);
    let yv = y.clone();
    record("exp", [x], y, move |dy, _| [Some(times(&dy, &yv))])
}

/// Square: x²
pub fn square(x: &Var) -> Var {
    activation("square", Unary::Square, Binary::SquareBack, x)
}

/// SwiGLU: silu(gate)·up of the two side by side.  gu [N, 2F] → [N, F]
///
/// # Panics
/// If gu is no matrix of an even number of columns.
#[track_caller]
pub fn swiglu(gu: &Var) -> Var {
    let (guv, again) = (gu.value().clone(), gu.value().clone());
    record("swiglu", [gu], kernels::swiglu(&guv), move |dy, _| [Some(kernels::swiglu_back(&dy, &guv))])
        .recomputed_by(move || kernels::swiglu(&again))
}

fn times(a: &Tensor, b: &Tensor) -> Tensor {
    zip(Binary::Mul, a, b, NONE)
}
