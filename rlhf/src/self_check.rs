//! Learning from one's own samples checks itself. On the first minibatch nothing has been learnt yet, so the policy that is about to be updated must
//! give every token the log-probability with which it was drawn: the ratio is 1. Where it is not, every later number
//! would be wrong (the commonest support question of RLHF, "my KL is negative", is this), so training stops and says why.

use crate::episode::Episode;

/// Largest difference of log-probabilities that rounding may explain.
pub const TOLERANCE: f32 = 1e-4;
/// The same where products are rounded to bf16, 8 bits of mantissa.
pub const TOLERANCE_BF16: f32 = 0.25;
const SHOWN: usize = 5;

/// `sampled` and `scored` [T]: the same tokens' log-probabilities from generation and from the training forward pass.
pub fn same_policy(episodes: &[&Episode], sampled: &[f32], scored: &[f32], tolerance: f32) -> Result<(), String> {
    let gap = |t: &usize| (sampled[*t] - scored[*t]).abs();
    let ratio = |t: &usize| (scored[*t] - sampled[*t]).exp();
    let wrong = |t: &usize| gap(t).is_nan() || gap(t) > tolerance;
    let mut off: Vec<usize> = (0..sampled.len()).filter(wrong).collect();
    if off.is_empty() {
        return Ok(());
    }
    let count = off.len();
    off.sort_by(|a, b| gap(b).total_cmp(&gap(a)));
    let places: Vec<(usize, usize)> = episodes
        .iter()
        .enumerate()
        .flat_map(|(e, episode)| (0..episode.completion.len()).map(move |i| (e, i)))
        .collect();
    let lines = off.iter().take(SHOWN).map(|&t| {
        let (e, i) = places[t];
        format!(
            "\n  completion {e}, token {i} of {} (id {}): sampler {:.5}, trainer {:.5}, ratio {:.4}",
            episodes[e].completion.len(),
            episodes[e].completion[i],
            sampled[t],
            scored[t],
            ratio(&t)
        )
    });
    Err(format!(
        "training stops before its first step: sampler and trainer disagree on {count} of {} tokens by more than {tolerance} nats, \
         so the ratio would not start at 1 and the KL would be wrong. The worst:{}\nLikely causes: {}.",
        sampled.len(),
        lines.collect::<String>(),
        causes(&off, &places)
    ))
}

/// The pattern of the disagreement tells where to look.
fn causes(off: &[usize], places: &[(usize, usize)]) -> String {
    let mut causes = Vec::new();
    if off.iter().all(|&t| places[t].1 > 0) {
        causes.push(
            "the first token of each completion agrees and later ones do not: positions or the cache of generation",
        );
    }
    if off.len() == places.len() {
        causes.push("every token is off: another temperature, other weights, or dropout in one of the two");
    }
    causes.push("truncated sampling (top-k, top-p), a suppressed end token, or a multiplication precision that differs between the two paths");
    causes.join("; or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agreement_passes_and_disagreement_names_the_token() {
        let episode = Episode { number: 0, prompt: vec![1, 2], completion: vec![7, 8, 9], ended: true };
        assert!(same_policy(&[&episode], &[-1.0, -2.0, -0.5], &[-1.00005, -2.0, -0.5], TOLERANCE).is_ok());
        let message = same_policy(&[&episode], &[-1.0, -2.0, -0.5], &[-1.0, -2.3, -0.5], TOLERANCE).unwrap_err();
        assert!(message.contains("token 1 of 3 (id 8)") && message.contains("positions or the cache"), "{message}");
        assert!(same_policy(&[&episode], &[-1.0, -2.0, -0.5], &[-1.0, f32::NAN, -0.5], TOLERANCE).is_err());
    }
}
