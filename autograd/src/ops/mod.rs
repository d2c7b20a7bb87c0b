//! Differentiable ops. Each is one function: the value, computed with kernels, then the way back to each
//! input, recorded. What backward needs is what the closure captures.
//!
//! Nothing broadcasts by itself: shapes that do not fit panic at the caller's line. Every op has a row in
//! `tests/it/gradcheck.rs`.

mod activation;
mod arithmetic;
mod attention;
mod dropout;
mod index_select;
mod linear;
mod logprob;
mod norm;
mod reduce;

pub use activation::{exp, gelu, gelu_erf, log_sigmoid, relu, sigmoid, silu, square, swiglu};
pub use arithmetic::{add, add_columns, clamp, max, min, mul, neg, reshape, scale, shift, sub};
pub use attention::{attention, rope};
pub use dropout::dropout;
pub use index_select::{embed, index_select, pick};
pub use linear::{linear, linear_bf16, linear_in};
pub use logprob::{entropy, logprob};
pub use norm::{layer_norm, qk_norm, rms_norm};
pub use reduce::{dot, sum};
