//! The readable loops.
use crate::Float;
use crate::elementwise::table::{silu, silu_derivative};

/// y = silu(gate)·up; a row of gu holds f gates, then f ups
pub fn swiglu<F: Float>(gu: &[F], f: usize, y: &mut [F]) {
    for (gu, y) in gu.chunks(2 * f).zip(y.chunks_mut(f)) {
        for j in 0..f {
            y[j] = silu(gu[j]) * gu[f + j];
        }
    }
}

/// In the forward pass: y = silu(gate)·up.
pub fn swiglu_back<F: Float>(dy: &[F], gu: &[F], f: usize, dgu: &mut [F]) {
    for ((dy, gu), dgu) in dy.chunks(f).zip(gu.chunks(2 * f)).zip(dgu.chunks_mut(2 * f)) {
        for j in 0..f {
            dgu[j] = dy[j] * gu[f + j] * silu_derivative(gu[j]);
            dgu[f + j] = dy[j] * silu(gu[j]);
        }
    }
}
