//! Fast on the CPU: every form is one packed product, see `cpu::gemm`; a few rows times Wᵀ are dot products.
use super::{Form, Precision, Size};
use crate::cpu::gemm::{FEW, Matrix, Start, Stored, few, gemm};
use crate::cpu::pool;

/// c = start + op(a) op(b)
pub fn matmul(form: Form, s: Size, a: &[f32], b: &[f32], start: Start, precision: Precision, c: &mut [f32]) {
    let Size { m, n, k } = s;
    if form == Form::NT && m <= FEW && precision == Precision::F32 {
        return few([m, n, k], a, Stored::F32(b), start, c);
    }
    let (a, b) = match form {
        Form::NN => (Matrix::new(a, k), Matrix::new(b, n)),
        Form::NT => (Matrix::new(a, k), Matrix::new(b, k).transposed()),
        Form::TN => (Matrix::new(a, m).transposed(), Matrix::new(b, n)),
    };
    gemm(precision, [m, n, k], a, b, start, c);
}

/// A few rows x [m, k] times Wᵀ, W [n, k] in bf16.
pub fn few_stored(size: [usize; 3], x: &[f32], w: &[u32], start: Start, precision: Precision, c: &mut [f32]) {
    match precision {
        Precision::F32 => few(size, x, Stored::Bf16(w), start, c),
        Precision::Bf16 => {
            let mut rounded = pool::take(x.len());
            crate::bf16::round_to(x, &mut rounded);
            few(size, &rounded, Stored::Bf16(w), start, c);
            pool::give(rounded);
        }
    }
}
