//! How much memory a stage takes at most, and whether the machine has it.

use crate::error::{Failure, Kind, Result};
use crate::recipe::sections::Ppo;
use crate::run::{Model, Tuning};
use crate::runlog::environment::memory_bytes;
use kernels::{Device, Precision};
use model::{Config, HeadKind, lora};
use std::fmt::{self, Display};

/// A network that will be trained, and how.
#[derive(Clone)]
pub struct Plan {
    config: Config,
    /// Numbers that learn upon a frozen model; None: all of it learns.
    adapters: Option<f64>,
    checkpointing: bool,
    bf16: bool,
}

/// Bytes by what they are for, and in all if it were done otherwise.
pub struct Need {
    parts: Vec<(&'static str, f64)>,
    otherwise: Vec<(String, f64)>,
}

impl Plan {
    /// Of a model that is not loaded yet.
    pub fn of(config: Config, how: &Tuning) -> Result<Plan> {
        let count = |rank| {
            lora::count(&config, rank, &how.targets)
                .map_err(|e| Failure::usage(format!("lora_targets = {:?}: {e}", how.targets)))
        };
        let adapters = (how.rank > 0).then(|| count(how.rank)).transpose()?.map(|n| n as f64);
        let bf16 = how.precision == Precision::Bf16;
        Ok(Plan { config, adapters, checkpointing: how.checkpointing, bf16 })
    }

    pub fn of_model(model: &Model, how: &Tuning) -> Plan {
        let adapters = model.net.lora.is_some().then(|| model.params.count() as f64);
        let bf16 = how.precision == Precision::Bf16;
        Plan { config: model.net.config.clone(), adapters, checkpointing: how.checkpointing, bf16 }
    }

    /// Standing upon a frozen model whatever was asked for: an adapter that is there already.
    pub fn adapter(self) -> Plan {
        Plan { adapters: self.adapters.or(Some(0.0)), ..self }
    }

    fn parameters(&self) -> f64 {
        self.config.parameters(HeadKind::Lm).map_or(f64::INFINITY, |n| n as f64)
    }

    fn learning(&self) -> f64 {
        self.adapters.unwrap_or(self.parameters())
    }

    /// Bytes of what is frozen.
    fn frozen(&self) -> f64 {
        self.adapters.map_or(0.0, |_| 2.0 * self.parameters())
    }

    /// What is kept of a block for the way back is the input of each of its parts; the block that is on its way back
    /// has as much again in gradients.
    fn activations(&self, tokens: f64) -> f64 {
        let Config { layers, channels, hidden, heads, .. } = self.config;
        let attention = heads.qkv() * if self.config.head_norm { 2 } else { 1 } + heads.q * heads.dim;
        let block = (4 * channels + attention + self.config.up() + hidden) as f64;
        let kept = match self.checkpointing {
            true => layers as f64 * channels as f64 + block,
            false => layers as f64 * block,
        };
        4.0 * tokens * (kept + block + 2.0 * channels as f64)
    }

    /// Logits, their log-probabilities' gradient, and one more while they are scaled.
    fn logits(&self, tokens: f64) -> f64 {
        4.0 * tokens * 3.0 * self.config.vocab as f64
    }

    fn learner(&self) -> Vec<(&'static str, f64)> {
        let n = self.learning();
        vec![("weights", self.frozen() + 4.0 * n), ("gradients", 4.0 * n), ("optimizer", 8.0 * n)]
    }

    /// Before anything is known of the data.
    pub fn weights_only(&self) -> Need {
        self.need(0, Plan::learning_from)
    }

    /// A language model, so many tokens at a time.
    pub fn training(&self, tokens: usize) -> Need {
        self.need(tokens, Plan::learning_from)
    }

    fn learning_from(&self, tokens: f64) -> Vec<(&'static str, f64)> {
        [self.learner(), vec![("activations", self.activations(tokens)), ("logits", self.logits(tokens))]].concat()
    }

    /// A reward model, so many tokens at a time.
    pub fn scoring(&self, tokens: usize) -> Need {
        self.need(tokens, |plan, tokens| [plan.learner(), vec![("activations", plan.activations(tokens))]].concat())
    }

    /// A policy of this plan, its reference and average, a value network and the reward model. `longest`: tokens of a
    /// prompt with its answer. `shared`: do policy and value stand on one frozen model?
    pub fn ppo(&self, value: &Plan, shared: bool, section: &Ppo, longest: usize) -> Need {
        let tokens = section.token_budget.min(section.minibatch.saturating_mul(longest)).max(longest);
        let cached = section.batch.min(64).saturating_mul(longest);
        self.need(tokens, |plan, tokens| {
            let value = match plan.adapters {
                Some(_) => value.clone().adapter(),
                None => value.clone(),
            };
            let value = Plan { checkpointing: plan.checkpointing, ..value };
            let (policy, judge) = (plan.learning(), value.learning());
            let frozen = plan.frozen() + if shared { 0.0 } else { value.frozen() };
            let decoding = if plan.bf16 { 2.0 * policy } else { 4.0 * policy }; // packed
            let heads = plan.config.heads;
            let cache = 2.0 * plan.config.layers as f64 * cached as f64 * heads.kv as f64 * heads.dim as f64;
            vec![
                ("weights", frozen + 4.0 * (3.0 * policy + 2.0 * judge) + decoding),
                ("gradients", 4.0 * (policy + judge)),
                ("optimizer", 8.0 * (policy + judge)),
                ("activations", plan.activations(tokens).max(value.activations(tokens))),
                ("logits", plan.logits(tokens)),
                ("cache of generation", 4.0 * cache),
            ]
        })
    }

    fn need(&self, tokens: usize, of: impl Fn(&Plan, f64) -> Vec<(&'static str, f64)>) -> Need {
        let mut otherwise: Vec<(String, Plan, usize)> = Vec::new();
        let (mut all, mut fewer) = (self.clone(), tokens);
        if tokens > 1024 {
            fewer = 1024;
            otherwise.push((format!("token_budget = {fewer}"), self.clone(), fewer));
        }
        if !self.checkpointing && tokens > 0 {
            all.checkpointing = true;
            otherwise.push(("checkpointing = true".into(), Plan { checkpointing: true, ..self.clone() }, tokens));
        }
        if self.adapters.is_none() {
            // Of all linear layers of rank 8, an adapter is about a hundredth of a model of a hundred million.
            all.adapters = Some(0.01 * self.parameters());
            let how = "lora_rank = 8 (the model itself frozen, in bf16)".to_string();
            otherwise.push((how, Plan { adapters: all.adapters, ..self.clone() }, tokens));
        }
        if otherwise.len() > 1 {
            otherwise.push(("all of these".into(), all, fewer));
        }
        let total = |plan: &Plan, tokens: usize| of(plan, tokens as f64).iter().map(|(_, bytes)| bytes).sum();
        let otherwise = otherwise.into_iter().map(|(how, plan, tokens)| (how, total(&plan, tokens)));
        Need { parts: of(self, tokens as f64), otherwise: otherwise.collect() }
    }
}

impl Need {
    pub fn total(&self) -> f64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }
}

fn size(bytes: f64) -> String {
    let [mib, gib] = [20, 30].map(|power| bytes / f64::from(1 << power));
    if gib >= 1.0 { format!("{gib:.1} GiB") } else { format!("{mib:.0} MiB") }
}

impl Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let parts: Vec<String> = self.parts.iter().map(|(name, bytes)| format!("{name} {}", size(*bytes))).collect();
        write!(f, "memory: at most {} ({})", size(self.total()), parts.join(", "))
    }
}

/// Refuses what cannot fit into the memory of this machine. How much a GPU has, nobody tells us.
pub fn check(need: &Need, device: &Device) -> Result {
    match memory_bytes() {
        Some(there) if *device == Device::Cpu => check_within(need, there as f64),
        _ => Ok(()),
    }
}

fn check_within(need: &Need, there: f64) -> Result {
    if need.total() <= there {
        return Ok(());
    }
    let ways: Vec<String> = need.otherwise.iter().map(|(how, bytes)| format!("{how}: {}", size(*bytes))).collect();
    let instead = if ways.is_empty() { "take a smaller model".into() } else { ways.join("; ") };
    Err(Failure::new(
        Kind::Device,
        format!("{need}, but this machine has {}. What it would take instead: {instead}", size(there)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::sections::Sft;

    fn plan(rank: usize) -> Plan {
        let section = Sft { lora_rank: rank, ..Sft::default() };
        Plan::of(Config::llama(49152, 2048, 30, 576, 9, 3), &Tuning::from(&section)).unwrap()
    }

    #[test]
    fn adapters_need_no_gradients_of_the_model() {
        let (all, some) = (plan(0).weights_only().total(), plan(8).weights_only().total());
        let parameters = plan(0).parameters();
        assert_eq!(all, 16.0 * parameters);
        assert!(some < 2.5 * parameters && some > 2.0 * parameters);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let need = plan(0).training(8192);
        assert!(check_within(&need, need.total()).is_ok());
        let failure = check_within(&need, need.total() / 2.0).unwrap_err();
        assert_eq!(failure.kind, Kind::Device);
        for way in ["token_budget = 1024", "checkpointing = true", "lora_rank = 8", "all of these"] {
            assert!(failure.message.contains(way), "{}", failure.message);
        }
        assert!(need.otherwise.iter().all(|(_, bytes)| *bytes < need.total()));
    }

    #[test]
    fn a_shared_model_is_counted_once() {
        let (policy, section) = (plan(8), Ppo::default());
        let [apart, shared] = [false, true].map(|shared| policy.ppo(&policy, shared, &section, 100).total());
        assert_eq!(apart - shared, 2.0 * policy.parameters());
    }
}
