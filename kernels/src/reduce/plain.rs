//! The readable loops.
use crate::Float;

/// Σ x
pub fn sum<F: Float>(x: &[F]) -> F {
    x.iter().copied().sum()
}

/// Σ a·b
pub fn dot<F: Float>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

/// y[c] = Σₙ x[n, c]
pub fn sum_rows<F: Float>(x: &[F], c: usize, y: &mut [F]) {
    y.fill(F::of(0.0));
    for row in x.chunks(c) {
        for (y, &x) in y.iter_mut().zip(row) {
            *y += x;
        }
    }
}

/// How many are NaN or infinite.
pub fn count_non_finite(x: &[f32]) -> f32 {
    x.iter().filter(|x| x.to_bits() & 0x7f80_0000 == 0x7f80_0000).count() as f32
}
