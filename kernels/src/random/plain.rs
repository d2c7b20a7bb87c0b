//! The readable loops.
use crate::{Float, Rng};

/// y = x/(1 − p) where the draw says so, else 0
pub fn dropout<F: Float>(x: &[F], p: f32, rng: Rng, y: &mut [F]) {
    let scale = F::of((1.0 / (1.0 - p)) as f64);
    for (i, y) in y.iter_mut().enumerate() {
        *y = if rng.unit_at(i as u64) >= p { x[i] * scale } else { F::of(0.0) };
    }
}

/// Numbers in (0, 1).
pub fn uniform(rng: Rng, y: &mut [f32]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = rng.unit_at(i as u64);
    }
}

/// Normal numbers with mean 0.
pub fn normal(rng: Rng, std: f32, y: &mut [f32]) {
    for (i, y) in y.iter_mut().enumerate() {
        *y = std * rng.normal_at(i as u64);
    }
}
