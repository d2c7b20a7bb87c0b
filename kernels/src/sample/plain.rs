//! The readable loop.
use super::Sampling;
use crate::rng::gumbel;
use crate::{Float, Rng};

pub fn sample<F: Float>(
    logits: &[F],
    v: usize,
    how: &Sampling,
    rng: Rng,
    streams: &[u32],
    positions: &[u32],
) -> (Vec<u32>, Vec<F>) {
    let mut out = (Vec::new(), Vec::new());
    for (n, row) in logits.chunks(v).enumerate() {
        let greedy = how.temperature == 0.0;
        let t = F::of(if greedy { 1.0 } else { how.temperature as f64 });
        let row: Vec<F> = row.iter().map(|&x| x / t).collect();
        let top = row.iter().copied().fold(row[0], F::max);
        let lse = top + row.iter().map(|&x| (x - top).exp()).sum::<F>().ln();
        let floor = threshold(&row, lse, how);
        let mut best = (0, None);
        for (id, &x) in row.iter().enumerate() {
            if x < floor {
                continue;
            }
            let word = rng.block([id as u32 / 4, positions[n], streams[n], 0])[id % 4];
            let noisy = if greedy { x } else { x + F::of(gumbel(word) as f64) };
            if best.1.is_none_or(|b| noisy > b) {
                best = (id, Some(noisy));
            }
        }
        out.0.push(best.0 as u32);
        out.1.push(row[best.0] - lse);
    }
    out
}

/// The smallest scaled logit that top-k and top-p leave in.
pub fn threshold<F: Float>(row: &[F], lse: F, how: &Sampling) -> F {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.partial_cmp(a).expect("logits are finite"));
    let mut floor = sorted[sorted.len() - 1];
    if how.top_k > 0 && how.top_k < sorted.len() {
        floor = floor.max(sorted[how.top_k - 1]);
    }
    if how.top_p < 1.0 {
        let mut mass = F::of(0.0);
        for &x in &sorted {
            mass += (x - lse).exp();
            if mass >= F::of(how.top_p as f64) {
                floor = floor.max(x);
                break;
            }
        }
    }
    floor
}
