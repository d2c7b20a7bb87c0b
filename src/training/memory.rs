//! How much memory a stage or a verb takes at most, and whether there is as much: one mechanism for all of them.

mod reader;
pub use reader::{Reader, check_files};

use super::Setup;
use crate::error::{Failure, Kind, Result};
use crate::training::room::{Room, room};
use kernels::{Device, Precision};
use model::{Config, HeadKind, Model, lora};
use rlhf_core::data::Ranking;
use rlhf_core::methods::{ppo, rm};
use std::fmt::{self, Display};

/// A network that will be trained, and how.
#[derive(Clone)]
pub struct Plan {
    config: Config,
    /// Numbers that learn upon a frozen model; None: all of it learns.
    adapters: Option<f64>,
    gradient_checkpointing: bool,
    bf16: bool,
}

/// Bytes by what they are for, weights first, and in all if it were done otherwise.
#[derive(Clone)]
pub struct Need {
    parts: Vec<(&'static str, f64)>,
    otherwise: Vec<(String, f64)>,
    /// Of the largest array, which must fit into one buffer of a GPU.
    largest: f64,
    /// Of files that are mapped: they take addresses, but memory only as long as there is some.
    mapped: f64,
}

impl Plan {
    /// Of a model that is not loaded yet.
    pub fn of(config: Config, how: &Setup) -> Result<Plan> {
        let count = |rank| {
            lora::count(&config, rank, &how.targets)
                .map_err(|e| Failure::usage(format!("lora_targets = {:?}: {e}", how.targets)))
        };
        let adapters = (how.rank > 0).then(|| count(how.rank)).transpose()?.map(|n| n as f64);
        let bf16 = how.precision == Precision::Bf16;
        Ok(Plan { config, adapters, gradient_checkpointing: how.gradient_checkpointing, bf16 })
    }

    pub fn of_model(model: &Model, how: &Setup) -> Plan {
        let adapters = model.net.lora.is_some().then(|| model.params.count() as f64);
        let bf16 = how.precision == Precision::Bf16;
        Plan { config: model.net.config.clone(), adapters, gradient_checkpointing: how.gradient_checkpointing, bf16 }
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
        let Config { layers, channels, intermediate_size, heads, .. } = self.config;
        let attention = heads.qkv() * if self.config.qk_norm { 2 } else { 1 } + heads.q * heads.dim;
        let block = (4 * channels + attention + self.config.up() + intermediate_size) as f64;
        let kept = match self.gradient_checkpointing {
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

    /// A reward model that learns from rankings, whose comparisons may be many: K(K−1)/2 of K answers.
    pub fn ranking(&self, rankings: &[Ranking], batch: usize, token_budget: usize) -> Need {
        let answers = |r: &Ranking| r.completions.iter().map(|c| r.prompt.len() + c.len()).sum::<usize>();
        let longest = rankings.iter().map(answers).max().unwrap_or(0);
        let tokens = token_budget.min(batch.saturating_mul(longest)).max(longest);
        let mut pairs: Vec<f64> = rankings.iter().map(|r| rm::pairs(&r.ranks) as f64).collect();
        pairs.sort_by(|a, b| b.total_cmp(a));
        let batch: f64 = pairs.iter().take(batch).sum();
        // Those of a step are laid end to end, picked from the scores, and go through the loss and back.
        let bytes = 24.0 * pairs.iter().sum::<f64>() + 120.0 * batch;
        self.scoring(tokens).and("comparisons", bytes)
    }

    /// A reward model, so many tokens at a time.
    pub fn scoring(&self, tokens: usize) -> Need {
        self.need(tokens, |plan, tokens| [plan.learner(), vec![("activations", plan.activations(tokens))]].concat())
    }

    /// A policy of this plan, its reference and average, a value network and the reward model. `longest`: tokens of a
    /// prompt with its answer. `shared`: do policy and value stand on one frozen model?
    pub fn ppo(&self, value: &Plan, shared: bool, config: &ppo::Config, longest: usize) -> Need {
        let tokens = config.compute.token_budget.min(config.minibatch.saturating_mul(longest)).max(longest);
        let cached = config.batch.min(config.sampling.generate_batch).saturating_mul(longest);
        self.need(tokens, |plan, tokens| {
            let value = match plan.adapters {
                Some(_) => value.clone().adapter(),
                None => value.clone(),
            };
            let value = Plan { gradient_checkpointing: plan.gradient_checkpointing, ..value };
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
        if !self.gradient_checkpointing && tokens > 0 {
            all.gradient_checkpointing = true;
            otherwise.push((
                "gradient_checkpointing = true".into(),
                Plan { gradient_checkpointing: true, ..self.clone() },
                tokens,
            ));
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
        let largest = 4.0 * self.learning(); // the weights that learn are one array, as are their gradients
        Need { parts: of(self, tokens as f64), otherwise: otherwise.collect(), largest, mapped: 0.0 }
    }
}

impl Need {
    pub fn total(&self) -> f64 {
        self.parts.iter().map(|(_, bytes)| bytes).sum()
    }

    /// The same with so many bytes more.
    pub fn and(mut self, what: &'static str, bytes: f64) -> Need {
        self.parts.push((what, bytes));
        self.otherwise.iter_mut().for_each(|(_, total)| *total += bytes);
        self
    }

    fn instead(&self) -> String {
        let ways: Vec<String> = self.otherwise.iter().map(|(how, bytes)| format!("{how}: {}", size(*bytes))).collect();
        match ways.is_empty() {
            true => "Take a smaller model".into(),
            false => format!("What it would take instead: {}", ways.join("; ")),
        }
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

/// Refuses what cannot fit. Of a GPU we know how large one array may be, not how much memory it has; what goes there is
/// made in main memory first.
pub fn check(need: &Need, device: &Device) -> Result {
    let room = room();
    match device {
        Device::Cpu => room.map_or(Ok(()), |room| check_within(need, &room)),
        Device::Gpu(gpu) => {
            let most = gpu.max_buffer_bytes() as f64;
            if need.largest > most {
                let (largest, most, gpu) = (size(need.largest), size(most), gpu.name());
                let words =
                    format!("{need}, of which {largest} lie in one array, but {gpu} allows at most {most} in one");
                return Err(Failure::new(Kind::Device, format!("{words}. {}, or --device cpu", need.instead())));
            }
            let weights = Need { parts: need.parts[..1].to_vec(), ..need.clone() };
            room.map_or(Ok(()), |room| check_within(&weights, &room))
        }
    }
}

fn check_within(need: &Need, room: &Room) -> Result {
    let (total, addresses) = (need.total(), need.total() + need.mapped);
    if total <= room.memory && addresses <= room.addresses {
        return Ok(());
    }
    let there = match total > room.memory {
        true => format!("{} has {}", room.of, size(room.memory)),
        false => {
            let (all, most) = (size(addresses), size(room.addresses));
            format!("with the files that are mapped that is {all}, and this process may take {most} (ulimit -v)")
        }
    };
    Err(Failure::new(Kind::Device, format!("{need}, but {there}. {}", need.instead())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlhf_core::methods::sft;

    fn plan(rank: usize) -> Plan {
        let mut config = sft::Config::default();
        config.adapter.lora_rank = rank;
        Plan::of(Config::llama(49152, 2048, 30, 576, 9, 3), &Setup::of(&config.compute, Some(&config.adapter))).unwrap()
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
        let room = |memory| Room { memory, of: "this container", addresses: f64::INFINITY };
        assert!(check_within(&need, &room(need.total())).is_ok());
        let failure = check_within(&need, &room(need.total() / 2.0)).unwrap_err();
        let few = Room { addresses: need.total() / 2.0, ..room(need.total()) };
        assert!(check_within(&need, &few).unwrap_err().message.contains("ulimit -v"));
        assert!(failure.message.contains("this container has"), "{}", failure.message);
        assert_eq!(failure.kind, Kind::Device);
        for way in ["token_budget = 1024", "gradient_checkpointing = true", "lora_rank = 8", "all of these"] {
            assert!(failure.message.contains(way), "{}", failure.message);
        }
        assert!(need.otherwise.iter().all(|(_, bytes)| *bytes < need.total()));
    }

    #[test]
    fn comparisons_of_many_answers_are_counted() {
        let ranking = |k: usize| Ranking {
            prompt: vec![1],
            completions: vec![vec![2]; k],
            ranks: (0..k).map(|i| i as f32).collect(),
        };
        let need = |k: usize| plan(0).ranking(&[ranking(k)], 16, 8192).parts.pop().unwrap();
        assert_eq!(need(2), ("comparisons", 144.0));
        assert!(need(20_000).1 > 2e8 * 24.0);
    }

    #[test]
    fn a_shared_model_is_counted_once() {
        let (policy, config) = (plan(8), ppo::Config::default());
        let [apart, shared] = [false, true].map(|shared| policy.ppo(&policy, shared, &config, 100).total());
        assert_eq!(apart - shared, 2.0 * policy.parameters());
    }
}
