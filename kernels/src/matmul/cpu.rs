//! Fast on the CPU: every form is one packed product, see `cpu::gemm`; a few rows times Wᵀ are dot products.
use super::{Form, Precision, Size};
use crate::cpu::gemm::{FEW, FEW_STORED, Matrix, Start, Stored, few, gemm, gemm_block, rounded};
use crate::cpu::par::Block;
use crate::cpu::pool;
use std::ops::Range;

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

/// So many numbers of stored weights are unpacked at a time (4 MiB): all of them would need twice their memory again.
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

/// c = start + x [m, k] · Wᵀ, W [n, k] in bf16.
pub fn stored(s: Size, x: &[f32], w: &[u32], start: Start, precision: Precision, c: &mut [f32]) {
    let Size { m, n, k } = s;
    if m <= FEW_STORED && k % 2 == 0 {
        return few_stored([m, n, k], x, w, start, precision, c);
    }
    let mut c = Block::new(c, n, n);
    unpacked(n, k, w, |rows, w| {
        let start = match start {
            Start::Bias(bias) => Start::Bias(&bias[rows.clone()]),
            other => other,
        };
        let w = Matrix::new(w, k).transposed();
        gemm_block(precision, k, Matrix::new(x, k), w, start, c.part(0..m, rows));
    });
}

/// dx [m, k] = dy [m, n] · W, W [n, k] in bf16.
pub fn stored_back(s: Size, dy: &[f32], w: &[u32], precision: Precision, dx: &mut [f32]) {
    let Size { m, n, k } = s;
    let mut dx = Block::new(dx, k, k);
    unpacked(n, k, w, |rows, w| {
        let start = if rows.start == 0 { Start::Zero } else { Start::Old };
        let dy = Matrix::new(&dy[rows.start..], n);
        gemm_block(precision, rows.len(), dy, Matrix::new(w, k), start, dx.part(0..m, 0..k));
    });
}

/// A few rows x [m, k] times Wᵀ, W [n, k] in bf16.
fn few_stored(size: [usize; 3], x: &[f32], w: &[u32], start: Start, precision: Precision, c: &mut [f32]) {
    match precision {
        Precision::F32 => few(size, x, Stored::Bf16(w), start, c),
        Precision::Bf16 => few(size, &rounded(x), Stored::Bf16(w), start, c),
    }
}
