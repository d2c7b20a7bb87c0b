//! Fast on the CPU: rows in parallel, noise in vector form; sorting only where top-p asks for it.
use super::Sampling;
use crate::Rng;
use crate::cpu::math::{each, ln, max, update, update_from};
use crate::cpu::par;
use crate::cpu::philox;
use crate::cpu::pool::{self, Pooled};
use crate::cpu::simd::per_isa;
use crate::logprob::log_sum_exp;

pub fn sample(
    logits: &[f32],
    v: usize,
    how: &Sampling,
    rng: Rng,
    streams: &[u32],
    positions: &[u32],
) -> (Vec<u32>, Vec<f32>) {
    let greedy = how.temperature == 0.0;
    let one_row = |n: usize| {
        let mut row = Pooled::from(pool::take(v));
        scale(&logits[n * v..][..v], if greedy { 1.0 } else { how.temperature }, &mut row);
        let lse = log_sum_exp(&row);
        if !lse.is_finite() {
            return (0, f32::NAN);
        }
        let id = if greedy {
            first_of(&row, max(&row))
        } else {
            let mut noisy = Pooled::from(pool::take(v));
            philox::units(rng, 0, [positions[n], streams[n], 0], &mut noisy);
            add_gumbel(&row, &mut noisy);
            if how.top_k > 0 || how.top_p < 1.0 {
                let floor = super::plain::threshold(&row, lse, how);
                for (noisy, &x) in noisy.iter_mut().zip(&row[..]) {
                    if x < floor {
                        *noisy = f32::NEG_INFINITY;
                    }
                }
            }
            first_of(&noisy, max(&noisy))
        };
        (id as u32, row[id] - lse)
    };
    par::map(streams.len(), par::grain(32 * v), one_row).into_iter().unzip()
}

fn first_of(row: &[f32], x: f32) -> usize {
    row.iter().position(|&y| y == x).unwrap_or(0)
}

per_isa! {
    fn scale(x: &[f32], temperature: f32, y: &mut [f32]) {
        each(x, y, |x| x / temperature);
    }

    /// u uniform: x − ln(−ln u)
    fn add_gumbel(x: &[f32], u: &mut [f32]) {
        update(u, |u| -ln(-ln(u)));
        update_from(u, x, |u, x| u + x);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn the_draws_of_the_plain_loop() {
        let rng = Rng::new(9).stream("sample");
        crate::cpu::simd::each_isa(|isa| {
            for v in [1, 7, 603] {
                let rows = 40;
                let logits: Vec<f32> = noise(rows * v, 1).iter().map(|x| 4.0 * x).collect();
                let (streams, positions): (Vec<u32>, Vec<u32>) = (0..rows as u32).map(|i| (i * 7, i % 5)).unzip();
                for (temperature, top_k, top_p) in
                    [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.7, 5, 1.0), (1.3, 0, 0.8), (1.3, 5, 0.9)]
                {
                    let how = Sampling { temperature, top_k, top_p };
                    let (ids, lp) = sample(&logits, v, &how, rng, &streams, &positions);
                    let (want, want_lp) = plain::sample(&wide(&logits), v, &how, rng, &streams, &positions);
                    assert_eq!(ids, want, "{isa:?} {how:?}");
                    close(&format!("{isa:?} {how:?}"), &lp, &want_lp, 1e-5);
                }
            }
        });
    }

    #[test]
    fn logits_that_are_not_finite_give_no_token() {
        for bad in [f32::NAN, f32::INFINITY] {
            let logits = [0.5, bad, 1.0, 0.0, 2.0, f32::NEG_INFINITY];
            for how in [Sampling::GREEDY, Sampling { temperature: 1.0, top_k: 1, top_p: 0.5 }] {
                let rng = Rng::new(1);
                let (_, lp) = sample(&logits, 3, &how, rng, &[0, 1], &[0, 0]);
                let (_, want) = plain::sample(&logits, 3, &how, rng, &[0, 1], &[0, 0]);
                assert!(lp[0].is_nan() && want[0].is_nan(), "{bad} {how:?}");
                assert!(lp[1].is_finite() && want[1].is_finite(), "no more than an impossible token, {how:?}");
            }
        }
    }
}
