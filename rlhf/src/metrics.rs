//! Every number a training step logs: its name (TRL's, so that dashboards and habits carry over), what it means, and
//! where it should be. One table; the terminal, the report and the documentation read it from here, and a loop that
//! logs a name missing from it fails its test.

use std::{collections::HashMap, ops::RangeInclusive};

/// One logged number.
#[derive(Clone, Debug)]
pub struct Metric {
    /// TRL's name, or one like it
    pub name: &'static str,
    /// what it is, in a sentence
    pub meaning: &'static str,
    /// what a healthy run looks like, in words
    pub healthy: &'static str,
    /// outside of this something deserves a look (infinite where no bound makes sense)
    pub range: RangeInclusive<f64>,
}

const ANY: RangeInclusive<f64> = f64::NEG_INFINITY..=f64::INFINITY;
const POSITIVE: RangeInclusive<f64> = 0.0..=f64::INFINITY;
const SHARE: RangeInclusive<f64> = 0.0..=1.0;

const fn metric(
    name: &'static str,
    range: RangeInclusive<f64>,
    meaning: &'static str,
    healthy: &'static str,
) -> Metric {
    Metric { name, meaning, healthy, range }
}

/// The table, in the order in which people read a run.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    // every loop
    metric("loss", POSITIVE, "What the step minimised: nats per trained token (pretraining, SFT), or −log σ of the score differences (RM, 0.693 = guessing).", "Falls; a jump upwards that stays means the learning rate is too high."),
    metric("learning_rate", POSITIVE, "The learning rate of this step.", "Follows the schedule."),
    metric("grad_norm", 0.0..=100.0, "L2 norm of the whole gradient before clipping.", "Steady, of order 1; steady growth comes before divergence."),
    metric("epoch", POSITIVE, "How often the data has been seen.", "Rises to the configured number."),
    metric("num_tokens", POSITIVE, "Tokens read so far, prompts included.", "Rises."),
    metric("skipped", 0.0..=0.0, "Steps left out so far because something was not finite.", "0. Three in a row end the run."),
    // reward model
    metric("accuracy", 0.5..=1.0, "Share of this batch's comparisons that the reward model orders as the labeler did.", "Above 0.5, towards the labelers' agreement with one another (about 0.73), not beyond it."),
    metric("margin", ANY, "Mean score difference between the preferred and the other completion.", "Positive and growing slowly; beyond about 5 the model is over-confident."),
    metric("mean_reward", -10.0..=10.0, "Mean score of the batch before the bias is set.", "Near 0: the loss does not care, so drift is harmless but should be small."),
    metric("min_reward", ANY, "Lowest score of the batch.", "A few units below the mean."),
    metric("max_reward", ANY, "Highest score of the batch.", "A few units above the mean."),
    // PPO: the objective
    metric("objective/kl", -0.05..=50.0, "Σ_t (log π − log π_ref) per completion, averaged: how far the policy has gone from the reference, in nats.", "Starts at 0 and grows to 1–20. Clearly negative means that sampler and trainer disagree: a bug."),
    metric("objective/kl_k3", 0.0..=100.0, "The same KL by the estimator e^{−ℓ} − 1 + ℓ, which cannot be negative.", "Close to objective/kl; far from it, a few tokens dominate."),
    metric("objective/entropy", POSITIVE, "−Σ_t log π(y_t) per completion, averaged.", "Sinks slowly; a fall to 0 is collapse onto one completion."),
    metric("objective/scores", ANY, "Mean reward-model score per completion, after the missing-end penalty.", "Rises. With demonstrations at 0, passing 0 means better than the demonstrations by the reward model."),
    metric("objective/scores_std", POSITIVE, "Spread of the scores.", "Above 0; 0 means every completion is worth the same and nothing can be learnt."),
    metric("objective/non_score_reward", ANY, "−β Σ_t (log π − log π_ref) per completion: what the KL penalty took.", "Small beside the scores."),
    metric("objective/rlhf_reward", ANY, "Score plus KL penalty: what PPO maximises.", "Rises."),
    metric("objective/kl_coef", POSITIVE, "β, the price of a nat.", "Constant, or moving slowly when adaptive."),
    metric("gold", ANY, "Mean gold score of the rollouts of an iteration, in a world that has one: what the reward model stands for, which PPO never sees.", "Rises with objective/scores. When it falls while they rise, the policy exploits the reward model."),
    // PPO: the policy
    metric("loss/policy_avg", -1.0..=1.0, "Clipped policy loss, averaged over the iteration's steps.", "Near 0, slightly negative."),
    metric("policy/approxkl_avg", 0.0..=0.1, "½ (log π_new − log π_old)² per token: how far the updates of one iteration moved.", "0.0001–0.02; above 0.1 lower the learning rate or the epochs."),
    metric("policy/clipfrac_avg", 0.0..=0.4, "Share of tokens for which the clipped branch was the active one.", "0–0.2. With 1 epoch over few minibatches, close to 0."),
    metric("policy/entropy_avg", POSITIVE, "Entropy of the next-token distribution at completion positions, in nats.", "Sinks slowly, stays above 0."),
    metric("val/ratio", 0.8..=1.2, "Mean π_new / π_old.", "Within a few percent of 1; exactly 1 in the first step of an iteration."),
    metric("val/ratio_var", 0.0..=0.2, "Variance of π_new / π_old.", "Below 0.05."),
    // PPO: the critic
    metric("loss/value_avg", POSITIVE, "Clipped value loss, ½ max(…)² per token.", "Falls during the first iterations, then follows the spread of the scores."),
    metric("val/clipfrac_avg", 0.0..=0.8, "Share of tokens for which the value clip was the active branch.", "Below 0.3 after the first iterations."),
    metric("val/explained_variance", -1.0..=1.0, "1 − Var(return − value) / Var(return), before the update.", "Climbs from about 0 to above 0.3; below 0 the critic is worse than a constant."),
    // PPO: the completions
    metric("val/num_eos_tokens", POSITIVE, "Completions of the batch that ended by themselves.", "Near the batch size."),
    metric("val/eos_rate", SHARE, "Share of completions that ended by themselves.", "Above 0.9; falling means that rambling pays: raise missing_eos_penalty."),
    metric("val/length", POSITIVE, "Mean completion length in tokens, the end token included.", "Moves little; steady growth is the commonest reward hack."),
    // PPO: optimisation
    metric("lr", POSITIVE, "Learning rate of the policy.", "A tenth of the peak at first, the peak after 10 iterations."),
    metric("policy/grad_norm", 0.0..=100.0, "Norm of the policy's gradient before clipping, averaged over the steps.", "Steady."),
    metric("value/grad_norm", 0.0..=100.0, "Norm of the value network's gradient before clipping, averaged over the steps.", "Falls with the value loss."),
    metric("loss/ptx", POSITIVE, "Loss on the pretraining text mixed in (PPO-ptx), nats per token.", "Stays where pretraining left it; that it would rise is why it is there."),
    metric("episode", POSITIVE, "Completions sampled so far.", "Rises by the batch size."),
    metric("eps", POSITIVE, "Episodes per second.", "Steady."),
    metric("time/rollout", POSITIVE, "Seconds of the iteration spent on sampling and scoring.", "About half of the iteration."),
    metric("time/update", POSITIVE, "Seconds of the iteration spent on updates.", "About half of the iteration."),
];

/// The row of the table with that name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

/// So many steps in a row must a figure be outside of its range before somebody is told; less is noise.
const IN_A_ROW: usize = 3;

/// Watches the figures of a training, step by step.
#[derive(Default)]
pub struct Watch {
    /// names that are outside, and for how many steps
    outside: HashMap<String, usize>,
}

impl Watch {
    /// Takes note of a figure of the next step. Once a name, when it has been outside of its range for 3 steps in a row
    /// (or is no number): what to say to the person who watches.
    pub fn see(&mut self, name: &str, value: f64) -> Option<String> {
        let metric = find(name)?;
        let steps = self.outside.entry(name.into()).or_default();
        if *steps >= IN_A_ROW {
            return None; // told
        }
        *steps = if metric.range.contains(&value) { 0 } else { *steps + 1 };
        let (low, high) = (metric.range.start(), metric.range.end());
        let range = match (low.is_finite(), high.is_finite()) {
            (true, true) if low == high => format!("{low}"),
            (true, true) => format!("{low} to {high}"),
            (true, false) => format!("at least {low}"),
            (false, true) => format!("at most {high}"),
            (false, false) => "a number".into(),
        };
        let told = || format!("{name} = {value:.4} for {IN_A_ROW} steps; healthy is {range}. {}", metric.healthy);
        (*steps == IN_A_ROW).then(told)
    }
}

/// What a [`Watch`] would have said of a figure whose values at the steps of a training were these.
pub fn warning(name: &str, values: &[f64]) -> Option<String> {
    let mut watch = Watch::default();
    values.iter().find_map(|&value| watch.see(name, value))
}

/// The table as a page of Markdown: `docs/metrics.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# What a training logs\n\n\
         Written by `rlhf_core::metrics::markdown`. A figure that stays outside of its range for three steps is told of in\n\
         the terminal and in the report.\n\n\
         | metric | what it means | healthy | range |\n|---|---|---|---|\n",
    );
    for Metric { name, meaning, healthy, range } in METRICS {
        let end = |x: &f64| if x.is_finite() { x.to_string() } else { "".into() };
        let range = match (end(range.start()), end(range.end())) {
            (low, high) if low.is_empty() && high.is_empty() => "any number".into(),
            (low, high) => format!("{low} … {high}").trim().to_string(),
        };
        out += &format!("| `{name}` | {meaning} | {healthy} | {range} |\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sentences_end() {
        for (i, m) in METRICS.iter().enumerate() {
            assert!(METRICS[..i].iter().all(|other| other.name != m.name), "{} twice", m.name);
            assert!(m.meaning.ends_with('.') && m.healthy.ends_with('.'), "{}", m.name);
        }
    }

    #[test]
    fn a_figure_that_stays_outside_is_told_of_once() {
        let out = -3.0;
        assert_eq!(warning("objective/kl", &[0.0, out, out, 1.0, out, out, 60.0, 4.0]).unwrap(), KL);
        assert_eq!(warning("objective/kl", &[0.0, out, out, 1.0, out, out]), None);
        assert!(warning("loss", &[f64::NAN; 3]).is_some() && warning("margin", &[f64::NAN; 3]).is_some());
        assert!(warning("nothing that is logged", &[out; 9]).is_none());
        let mut watch = Watch::default();
        let told = (0..9).filter_map(|_| watch.see("objective/kl", out)).count();
        assert_eq!(told, 1);
    }

    const KL: &str = "objective/kl = 60.0000 for 3 steps; healthy is -0.05 to 50. Starts at 0 and grows to 1–20. \
                      Clearly negative means that sampler and trainer disagree: a bug.";

    #[test]
    fn the_page_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/metrics.md is old: UPDATE=1 cargo test --workspace the_page_is_what writes it"
        );
    }
}
