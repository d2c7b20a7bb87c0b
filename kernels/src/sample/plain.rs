//! The readable loop.
use super::Sampling;
use crate::rng::gumbel;
use crate::{Float, Rng};

/// A token for each row, and its log-probability.
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
        if !lse.to_f64().is_finite() {
            out.0.push(0);
            out.1.push(F::of(f64::NAN));
            continue;
        }
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

/// The smallest scaled logit that is left in: of the k likeliest tokens, the smallest set that has top-p of what those k
/// weigh together. (transformers, vLLM and llama.cpp: top-k first, its softmax made anew, then top-p.)
pub fn threshold<F: Float>(row: &[F], lse: F, how: &Sampling) -> F {
    let mut sorted = row.to_vec();
    sorted.sort_by(|a, b| b.partial_cmp(a).expect("the row's sum is finite, so are its logits"));
    let mut floor = sorted[sorted.len() - 1];
    let mut weight = F::of(1.0);
    if how.top_k > 0 && how.top_k < sorted.len() {
        floor = sorted[how.top_k - 1];
        weight = sorted.iter().take_while(|&&x| x >= floor).map(|&x| (x - lse).exp()).sum();
    }
    if how.top_p < 1.0 {
        let mut mass = F::of(0.0);
        for &x in &sorted {
            mass += (x - lse).exp();
            if mass >= F::of(how.top_p as f64) * weight {
                return floor.max(x);
            }
        }
    }
    floor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logprob::log_sum_exp;

    /// How many tokens transformers 5.24 leaves in (TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper), of
    /// logits 3·sin(1.7 i), i = 0..12.
    #[test]
    fn top_k_and_top_p_as_transformers_has_them() {
        let cases = [
            (1.0, 5, 0.95, 5),
            (1.3, 5, 0.95, 5),
            (1.3, 5, 0.9, 4),
            (1.0, 3, 0.5, 2),
            (2.0, 8, 0.7, 4),
            (0.7, 0, 0.9, 4),
            (1.0, 4, 1.0, 4),
            (1.0, 12, 0.9, 5),
            (1.0, 20, 0.9, 5),
            (3.0, 6, 0.99, 6),
            (1.0, 1, 0.1, 1),
            (1.5, 4, 0.8, 3),
        ];
        for (temperature, top_k, top_p, left) in cases {
            let how = Sampling { temperature, top_k, top_p };
            let row: Vec<f32> = (0..12).map(|i| 3.0 * (1.7 * i as f32).sin() / temperature).collect();
            let floor = threshold(&row, log_sum_exp(&row), &how);
            assert_eq!(row.iter().filter(|&&x| x >= floor).count(), left, "{how:?}");
        }
    }
}
