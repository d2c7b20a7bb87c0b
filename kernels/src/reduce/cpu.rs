//! Fast on the CPU: runs of fixed size, their sums added in order and in f64, so that length costs no accuracy.
use crate::cpu::math::{sum_of, sum_of_pairs, update_from};
use crate::cpu::par;
use crate::cpu::simd::per_isa;

/// Elements to a task.
const GRAIN: usize = 1 << 14;
/// Elements that are added up in f32.
const RUN: usize = 1 << 9;

fn over_runs(len: usize, f: impl Fn(std::ops::Range<usize>) -> f32 + Sync) -> f32 {
    let pieces = par::map(len.div_ceil(GRAIN), 1, |i| {
        let end = len.min((i + 1) * GRAIN);
        let runs = (i * GRAIN..end).step_by(RUN).map(|start| f64::from(f(start..end.min(start + RUN))));
        runs.sum::<f64>()
    });
    pieces.into_iter().sum::<f64>() as f32
}

pub fn sum(x: &[f32]) -> f32 {
    over_runs(x.len(), |range| sum_piece(&x[range]))
}

pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    over_runs(a.len(), |range| dot_piece(&a[range.clone()], &b[range]))
}

pub fn count_non_finite(x: &[f32]) -> f32 {
    over_runs(x.len(), |range| count_piece(&x[range]) as f32)
}

pub fn sum_rows(x: &[f32], c: usize, y: &mut [f32]) {
    let rows = x.len() / c.max(1);
    par::rows_and_sum(rows, par::grain(c), [], y, |range, [], y| sum_rows_piece(&x[range.start * c..range.end * c], y));
}

per_isa! {
    fn sum_piece(x: &[f32]) -> f32 {
        sum_of(x, |x| x)
    }

    fn dot_piece(a: &[f32], b: &[f32]) -> f32 {
        sum_of_pairs(a, b, |a, b| a * b)
    }

    fn count_piece(x: &[f32]) -> u32 {
        x.iter().fold(0, |n: u32, x| n.wrapping_add((x.to_bits() & 0x7f80_0000 == 0x7f80_0000) as u32))
    }

    fn sum_rows_piece(x: &[f32], y: &mut [f32]) {
        for row in x.chunks_exact(y.len()) {
            update_from(y, row, |y, x| y + x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn sums() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, c) in [(0, 3), (1, 1), (5, 7), (300, 65), (2000, 33)] {
                let (x, b) = (noise(n * c, 1), noise(n * c, 2));
                let (x64, b64) = (wide(&x), wide(&b));
                let name = |f| format!("{isa:?} {f} {n}×{c}");
                close(&name("sum"), &[sum(&x)], &[plain::sum(&x64)], 1e-4);
                close(&name("dot"), &[dot(&x, &b)], &[plain::dot(&x64, &b64)], 1e-4);
                let (mut y, mut want) = (vec![7.0; c], vec![7.0; c]);
                sum_rows(&x, c, &mut y);
                plain::sum_rows(&x64, c, &mut want);
                close(&name("sum_rows"), &y, &want, 1e-4);
            }
        });
    }

    #[test]
    fn a_long_sum_is_as_exact_as_a_short_one() {
        let x = noise(3_000_000, 1);
        let want: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        crate::cpu::simd::each_isa(|isa| {
            let off = (f64::from(dot(&x, &x)) / want - 1.0).abs();
            assert!(off < 3e-7, "{isa:?}: {off:e}");
        });
    }

    #[test]
    fn what_is_not_finite_is_counted() {
        let mut x = noise(50_000, 1);
        (x[3], x[20_000], x[49_999]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        crate::cpu::simd::each_isa(|_| assert_eq!(count_non_finite(&x), 3.0));
    }
}
