//! The two clipped losses of PPO (Schulman 2017), over the response tokens of a minibatch: every array is [T].
//! `scale` is 1 / (tokens of the whole minibatch), so that cutting it into micro-batches changes nothing.

use autograd::{Var, ops};
use kernels::Tensor;

/// −scale · Σ min(A ρ, A clip(ρ, 1 ± ε)),  ρ = π / π_old: paid for good tokens, but only while near the policy that
/// drew them.
pub fn policy_loss(logp: &Var, old_logp: &Tensor, advantages: &Tensor, clip: f32, scale: f32) -> Var {
    let advantages = Var::from(advantages.clone());
    let ratio = ops::exp(&(logp - &Var::from(old_logp.clone())));
    let clipped = ops::clamp(&ratio, 1.0 - clip, 1.0 + clip);
    let gain = ops::min(&(&ratio * &advantages), &(&clipped * &advantages));
    ops::scale(&ops::sum(&gain), -scale)
}

/// scale · Σ ½ max((V − R)², (clip(V, V_old ± ε) − R)²): the critic may not run far in one update either.
pub fn value_loss(values: &Var, old_values: &Tensor, returns: &Tensor, clip: f32, scale: f32) -> Var {
    let (old, returns) = (Var::from(old_values.clone()), Var::from(returns.clone()));
    let near = &old + &ops::clamp(&(values - &old), -clip, clip);
    let worst = ops::max(&ops::square(&(values - &returns)), &ops::square(&(&near - &returns)));
    ops::scale(&ops::sum(&worst), 0.5 * scale)
}

/// What one minibatch had to say, from log-probabilities and values read back (f64 on the host).
pub(super) struct Numbers<'a> {
    pub logp: &'a [f32],
    pub old_logp: &'a [f32],
    pub advantages: &'a [f32],
    pub values: &'a [f32],
    pub old_values: &'a [f32],
    pub returns: &'a [f32],
}

impl Numbers<'_> {
    /// NaN and infinities must be found here: `clamp` and `min` turn them into innocent numbers.
    pub(super) fn check_finite(&self) -> Result<(), String> {
        let finite = |x: &[f32]| x.iter().all(|x| x.is_finite());
        match (finite(self.logp), finite(self.values)) {
            (true, true) => Ok(()),
            (false, _) => Err("a log-probability of the policy is not finite".into()),
            (_, false) => Err("a value of the critic is not finite".into()),
        }
    }

    /// TRL's names; each explained in `metrics::METRICS`.
    pub(super) fn metrics(&self, clip: f32, value_clip: f32) -> [(&'static str, f64); 7] {
        let (clip, value_clip) = (clip as f64, value_clip as f64);
        let mean = |f: &dyn Fn(usize) -> f64| (0..self.logp.len()).map(f).sum::<f64>() / self.logp.len() as f64;
        let step = |t: usize| self.logp[t] as f64 - self.old_logp[t] as f64;
        let loss = |t: usize| {
            let (ratio, advantage) = (step(t).exp(), self.advantages[t] as f64);
            (-advantage * ratio, -advantage * ratio.clamp(1.0 - clip, 1.0 + clip))
        };
        let squares = |t: usize| {
            let (value, old, target) = (self.values[t] as f64, self.old_values[t] as f64, self.returns[t] as f64);
            ((value - target).powi(2), (value.clamp(old - value_clip, old + value_clip) - target).powi(2))
        };
        let ratio = mean(&|t| step(t).exp());
        [
            ("loss/policy_avg", mean(&|t| loss(t).0.max(loss(t).1))),
            ("policy/approxkl_avg", mean(&|t| 0.5 * step(t).powi(2))),
            ("policy/clipfrac_avg", mean(&|t| (loss(t).1 > loss(t).0) as u8 as f64)),
            ("val/ratio", ratio),
            ("val/ratio_var", mean(&|t| (step(t).exp() - ratio).powi(2))),
            ("loss/value_avg", mean(&|t| 0.5 * squares(t).0.max(squares(t).1))),
            ("val/clipfrac_avg", mean(&|t| (squares(t).1 > squares(t).0) as u8 as f64)),
        ]
    }
}
