//! Fast on the CPU: one pass over the four buffers.
use super::AdamWStep;
use crate::cpu::par;
use crate::cpu::simd::per_isa;

/// Elements to a task.
const GRAIN: usize = 1 << 13;

pub fn adamw(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], s: &AdamWStep) {
    let decayed = s.decayed.min(p.len());
    let still = AdamWStep { weight_decay: 0.0, ..*s };
    let ((p0, p1), (g0, g1)) = (p.split_at_mut(decayed), g.split_at(decayed));
    let ((m0, m1), (v0, v1)) = (m.split_at_mut(decayed), v.split_at_mut(decayed));
    for (p, g, m, v, s) in [(p0, g0, m0, v0, s), (p1, g1, m1, v1, &still)] {
        par::rows(g.len(), GRAIN, [(p, 1), (m, 1), (v, 1)], |range, [p, m, v]| piece(p, &g[range], m, v, s));
    }
}

per_isa! {
    fn piece(p: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], s: &AdamWStep) {
        let (m_scale, v_scale) = (1.0 / s.correction1, 1.0 / s.correction2);
        for ((p, &g), (m, v)) in p.iter_mut().zip(g).zip(m.iter_mut().zip(v)) {
            let g = g * s.grad_scale;
            *m = s.beta1 * *m + (1.0 - s.beta1) * g;
            *v = s.beta2 * *v + (1.0 - s.beta2) * g * g;
            let step = *m * m_scale / ((*v * v_scale).sqrt() + s.eps);
            *p -= s.lr * (step + s.weight_decay * *p);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn three_steps() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, decayed) in [(1, 0), (100, 37), (20_011, 16_384), (64, 64)] {
                let (mut p, mut m, mut v) = (noise(n, 1), vec![0.0; n], vec![0.0; n]);
                let (mut p64, mut m64, mut v64) = (wide(&p), vec![0.0; n], vec![0.0; n]);
                for t in 1..=3 {
                    let g = noise(n, 1 + t as u32);
                    let (beta1, beta2) = (0.9f32, 0.95f32);
                    let step = AdamWStep {
                        lr: 0.01,
                        beta1,
                        beta2,
                        eps: 1e-8,
                        weight_decay: 0.1,
                        decayed,
                        correction1: 1.0 - beta1.powi(t),
                        correction2: 1.0 - beta2.powi(t),
                        grad_scale: 0.5,
                    };
                    adamw(&mut p, &g, &mut m, &mut v, &step);
                    plain::adamw(&mut p64, &wide(&g), &mut m64, &mut v64, &step);
                }
                close(&format!("{isa:?} p {n}"), &p, &p64, 2e-6);
                close(&format!("{isa:?} m {n}"), &m, &m64, 1e-6);
                close(&format!("{isa:?} v {n}"), &v, &v64, 1e-6);
            }
        });
    }
}
