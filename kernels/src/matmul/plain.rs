//! The readable loop.
use super::{Form, Size};
use crate::Float;

/// c (+)= op(a) op(b) (+ bias of each column)
pub fn matmul<F: Float>(form: Form, s: Size, a: &[F], b: &[F], bias: Option<&[F]>, accumulate: bool, c: &mut [F]) {
    let Size { m, n, k } = s;
    for i in 0..m {
        for j in 0..n {
            let mut sum = bias.map_or(F::of(0.0), |bias| bias[j]);
            for p in 0..k {
                sum += match form {
                    Form::NN => a[i * k + p] * b[p * n + j],
                    Form::NT => a[i * k + p] * b[j * k + p],
                    Form::TN => a[p * m + i] * b[p * n + j],
                };
            }
            c[i * n + j] = if accumulate { c[i * n + j] + sum } else { sum };
        }
    }
}
