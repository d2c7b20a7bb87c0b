//! Fast on the CPU: sixteen blocks of the generator at a time; the same integers as `Rng`.
use crate::Rng;
use crate::cpu::par;
use crate::cpu::philox;
use crate::cpu::simd::per_isa;

/// Elements to a task, a multiple of the generator's block.
const GRAIN: usize = 1 << 13;

pub fn dropout(x: &[f32], p: f32, rng: Rng, y: &mut [f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| {
        philox::units_at(rng, range.start, y);
        keep(&x[range], p, y);
    });
}

pub fn uniform(rng: Rng, y: &mut [f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| philox::units_at(rng, range.start, y));
}

/// As the plain loop, on all cores: models start from the same bits everywhere.
pub fn normal(rng: Rng, std: f32, y: &mut [f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| {
        for (i, y) in range.zip(y) {
            *y = std * rng.normal_at(i as u64);
        }
    });
}

per_isa! {
    /// `y` holds uniform numbers.
    fn keep(x: &[f32], p: f32, y: &mut [f32]) {
        let scale = 1.0 / (1.0 - p);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if *y >= p { x * scale } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::noise;

    #[test]
    fn the_same_bits_as_the_plain_loops() {
        let rng = Rng::new(3).stream("test");
        crate::cpu::simd::each_isa(|_| {
            for n in [1, 63, 30_001] {
                let x = noise(n, 1);
                let (mut y, mut want) = (vec![0.0; n], vec![0.0; n]);
                dropout(&x, 0.3, rng, &mut y);
                plain::dropout(&x, 0.3, rng, &mut want);
                assert_eq!(y, want);
                uniform(rng, &mut y);
                plain::uniform(rng, &mut want);
                assert_eq!(y, want);
                normal(rng, 0.02, &mut y);
                plain::normal(rng, 0.02, &mut want);
                assert_eq!(y, want);
            }
        });
    }
}
