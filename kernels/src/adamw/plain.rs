//! The readable loop.
use super::AdamWStep;
use crate::Float;

/// The step, element by element.
pub fn adamw<F: Float>(p: &mut [F], g: &[F], m: &mut [F], v: &mut [F], s: &AdamWStep) {
    let of = |x: f32| F::of(x as f64);
    let (b1, b2, one) = (of(s.beta1), of(s.beta2), F::of(1.0));
    for i in 0..p.len() {
        let g = g[i] * of(s.grad_scale);
        m[i] = b1 * m[i] + (one - b1) * g;
        v[i] = b2 * v[i] + (one - b2) * g * g;
        let step = (m[i] / of(s.correction1)) / ((v[i] / of(s.correction2)).sqrt() + of(s.eps));
        let decay = if i < s.decayed { of(s.weight_decay) * p[i] } else { F::of(0.0) };
        p[i] -= of(s.lr) * (step + decay);
    }
}
