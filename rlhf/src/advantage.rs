//! From scores to advantages: the arithmetic between a rollout and an update, as plain functions on slices.
//! Everything is over the completion tokens of all episodes laid end to end, [T]; `spans` says which belong together.
//! There is no mask because there is no padding.

use crate::train::Comm;
use std::ops::Range;

/// r_t = −β (log π_t − log π_ref_t) at every token, and the score of the whole completion on its last one.
///
/// The penalty is Schulman's k1 inside the reward, as in InstructGPT (§3.5): no gradient flows through it.
/// The score sits on the end token itself, not one past it (TRL put it on the padding that followed).
pub fn token_rewards(spans: &[Range<usize>], logp: &[f32], ref_logp: &[f32], scores: &[f32], kl_coef: f32) -> Vec<f32> {
    let mut rewards: Vec<f32> = logp.iter().zip(ref_logp).map(|(p, r)| -kl_coef * (p - r)).collect();
    for (span, score) in spans.iter().zip(scores) {
        rewards[span.end - 1] += score;
    }
    rewards
}

/// Generalized advantage estimation (Schulman 2016), every episode from its end:
/// δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γλ A_{t+1};  a completion that is over has V = A = 0.
/// `values[t]` was read where token t was about to be chosen.
pub fn gae(spans: &[Range<usize>], rewards: &[f32], values: &[f32], gamma: f32, lambda: f32) -> Vec<f32> {
    let mut advantages = vec![0.0; rewards.len()];
    for span in spans {
        let (mut next_value, mut next_advantage) = (0.0, 0.0);
        for t in span.clone().rev() {
            let delta = rewards[t] + gamma * next_value - values[t];
            next_advantage = delta + gamma * lambda * next_advantage;
            advantages[t] = next_advantage;
            next_value = values[t];
        }
    }
    advantages
}

/// (x − mean) / √(var + 1e-8), over all ranks, var with n − 1 as TRL has it; `shift_mean = false` puts the mean back.
pub fn whiten(x: &[f32], shift_mean: bool, comm: &dyn Comm) -> Vec<f32> {
    let n = comm.total(x.len() as f64);
    let mean = comm.total(x.iter().map(|&v| v as f64).sum()) / n;
    let squares = comm.total(x.iter().map(|&v| (v as f64 - mean).powi(2)).sum());
    let scale = 1.0 / (squares / (n - 1.0).max(1.0) + 1e-8).sqrt();
    let back = if shift_mean { 0.0 } else { mean };
    x.iter().map(|&v| ((v as f64 - mean) * scale + back) as f32).collect()
}

/// How much straying from the reference costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KlControl {
    /// the same β all along; InstructGPT: 0.02
    Fixed,
    /// β follows the measured KL towards `target` nats a completion, slowly enough to take `horizon` episodes
    #[allow(missing_docs)] // just said
    Adaptive { target: f32, horizon: f32 },
}

impl KlControl {
    /// β ← β (1 + e n / horizon), e = clip(KL / target − 1, ±0.2). Ziegler et al. 2019, §2.2.
    pub fn next_coef(&self, coef: f64, observed_kl: f64, episodes: usize) -> f64 {
        match *self {
            KlControl::Fixed => coef,
            KlControl::Adaptive { target, horizon } => {
                let error = (observed_kl / target as f64 - 1.0).clamp(-0.2, 0.2);
                coef * (1.0 + error * episodes as f64 / horizon as f64)
            }
        }
    }
}
