//! Fast on the CPU: every form is one packed product, see `cpu::gemm`; a few rows times Wᵀ are dot products.
use super::{Form, Precision, Size};
use crate::cpu::gemm::{Beta, Matrix, SKINNY, SKINNY_BF16, Weight, gemm, gemm_block, rounded, skinny};
use crate::cpu::par::Block;
use crate::cpu::pool;
use std::ops::Range;

/// c = beta + op(a) op(b)
pub fn matmul(form: Form, s: Size, a: &[f32], b: &[f32], beta: Beta, precision: Precision, c: &mut [f32]) {
    let Size { m, n, k } = s;
    if form == Form::NT && m <= SKINNY && precision == Precision::F32 {
        return skinny([m, n, k], a, Weight::F32(b), beta, c);
    }
    let (a, b) = match form {
        Form::NN => (Matrix::new(a, k), Matrix::new(b, n)),
        Form::NT => (Matrix::new(a, k), Matrix::new(b, k).transposed()),
        Form::TN => (Matrix::new(a, m).transposed(), Matrix::new(b, n)),
    };
    gemm(precision, [m, n, k], a, b, beta, c);
}

/// So many numbers of weights in bf16 are unpacked at a time (4 MiB): all of them would need twice their memory again.
const UNPACKED: usize = 1 << 20;

/// `f(which rows, their numbers)` for W [n, k] in bf16, some rows at a time.
fn unpacked(n: usize, k: usize, w: &[u32], mut f: impl FnMut(Range<usize>, &[f32])) {
    let rows = (UNPACKED / k.max(1)).next_multiple_of(2).min(n); // an even number of them begins with a whole word
    let mut some = pool::take(rows * k);
    for from in (0..n).step_by(rows.max(1)) {
        let range = from..n.min(from + rows);
        let some = &mut some[..range.len() * k];
        crate::bf16::unpack_to(&w[from * k / 2..], some);
        f(range, some);
    }
    pool::give(some);
}

/// c = beta + x [m, k] · Wᵀ, W [n, k] in bf16.
pub fn linear_bf16(s: Size, x: &[f32], w: &[u32], beta: Beta, precision: Precision, c: &mut [f32]) {
    let Size { m, n, k } = s;
    if m <= SKINNY_BF16 && k % 2 == 0 {
        return skinny_bf16([m, n, k], x, w, beta, precision, c);
    }
    let mut c = Block::new(c, n, n);
    unpacked(n, k, w, |rows, w| {
        let beta = match beta {
            Beta::Bias(bias) => Beta::Bias(&bias[rows.clone()]),
            other => other,
        };
        let w = Matrix::new(w, k).transposed();
        gemm_block(precision, k, Matrix::new(x, k), w, beta, c.part(0..m, rows));
    });
}

/// dx [m, k] = dy [m, n] · W, W [n, k] in bf16.
pub fn linear_bf16_back(s: Size, dy: &[f32], w: &[u32], precision: Precision, dx: &mut [f32]) {
    let Size { m, n, k } = s;
    let mut dx = Block::new(dx, k, k);
    unpacked(n, k, w, |rows, w| {
        let beta = if rows.start == 0 { Beta::Zero } else { Beta::One };
        let dy = Matrix::new(&dy[rows.start..], n);
        gemm_block(precision, rows.len(), dy, Matrix::new(w, k), beta, dx.part(0..m, 0..k));
    });
}

/// A few rows x [m, k] times Wᵀ, W [n, k] in bf16.
fn skinny_bf16(size: [usize; 3], x: &[f32], w: &[u32], beta: Beta, precision: Precision, c: &mut [f32]) {
    match precision {
        Precision::F32 => skinny(size, x, Weight::Bf16(w), beta, c),
        Precision::Bf16 => skinny(size, &rounded(x), Weight::Bf16(w), beta, c),
    }
}
