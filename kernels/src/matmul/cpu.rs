//! Fast on the CPU: every form is one packed product, see `cpu::gemm`.
use super::{Form, Size};
use crate::cpu::gemm::{Matrix, Start, gemm};

/// c (+)= op(a) op(b), or op(a) op(b) + bias of each column
pub fn matmul(form: Form, s: Size, a: &[f32], b: &[f32], bias: Option<&[f32]>, accumulate: bool, c: &mut [f32]) {
    let Size { m, n, k } = s;
    let (a, b) = match form {
        Form::NN => (Matrix::new(a, k), Matrix::new(b, n)),
        Form::NT => (Matrix::new(a, k), Matrix::new(b, k).transposed()),
        Form::TN => (Matrix::new(a, m).transposed(), Matrix::new(b, n)),
    };
    let start = match bias {
        Some(bias) => {
            assert!(!accumulate, "a bias belongs to the first product, not to those added");
            Start::Bias(bias)
        }
        None if accumulate => Start::Old,
        None => Start::Zero,
    };
    gemm([m, n, k], a, b, start, c);
}
