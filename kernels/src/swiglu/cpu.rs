//! Fast on the CPU.
use crate::cpu::math::{each_pair, update_from};
use crate::cpu::par;
use crate::cpu::simd::per_isa;
use crate::elementwise::{silu, silu_derivative};

pub fn swiglu(gu: &[f32], f: usize, y: &mut [f32]) {
    let rows = y.len() / f.max(1);
    par::rows(rows, par::grain(4 * f), [(y, f)], |range, [y]| {
        forward(&gu[range.start * 2 * f..range.end * 2 * f], f, y);
    });
}

pub fn swiglu_back(dy: &[f32], gu: &[f32], f: usize, dgu: &mut [f32]) {
    let rows = dy.len() / f.max(1);
    par::rows(rows, par::grain(8 * f), [(dgu, 2 * f)], |range, [dgu]| {
        backward(&dy[range.start * f..range.end * f], &gu[range.start * 2 * f..range.end * 2 * f], f, dgu);
    });
}

per_isa! {
    fn forward(gu: &[f32], f: usize, y: &mut [f32]) {
        for (gu, y) in gu.chunks_exact(2 * f).zip(y.chunks_exact_mut(f)) {
            let (gate, up) = gu.split_at(f);
            each_pair(gate, up, y, |gate, up| silu(gate) * up);
        }
    }

    fn backward(dy: &[f32], gu: &[f32], f: usize, dgu: &mut [f32]) {
        for ((dy, gu), dgu) in dy.chunks_exact(f).zip(gu.chunks_exact(2 * f)).zip(dgu.chunks_exact_mut(2 * f)) {
            let ((gate, up), (d_gate, d_up)) = (gu.split_at(f), dgu.split_at_mut(f));
            each_pair(gate, up, d_gate, |gate, up| silu_derivative(gate) * up);
            update_from(d_gate, dy, |d, dy| d * dy);
            each_pair(dy, gate, d_up, |dy, gate| dy * silu(gate));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn forward_and_backward() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, f) in [(1, 1), (3, 17), (70, 96)] {
                let (gu, dy) = (noise(2 * n * f, 1), noise(n * f, 2));
                let (mut y, mut want) = (vec![0.0; n * f], vec![0.0; n * f]);
                swiglu(&gu, f, &mut y);
                plain::swiglu(&wide(&gu), f, &mut want);
                close(&format!("{isa:?} swiglu"), &y, &want, 1e-6);
                let (mut y, mut want) = (vec![0.0; 2 * n * f], vec![0.0; 2 * n * f]);
                swiglu_back(&dy, &gu, f, &mut y);
                plain::swiglu_back(&wide(&dy), &wide(&gu), f, &mut want);
                close(&format!("{isa:?} swiglu_back"), &y, &want, 1e-6);
            }
        });
    }
}
