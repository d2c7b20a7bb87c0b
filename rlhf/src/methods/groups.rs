//! Keys that several methods have, in groups that their configurations flatten into themselves.
//!
//! A key is written once, here or in its method: doc comment (the help of flag and key), default, range. Where a method
//! differs it says so on its own struct, as `#[command(mut_arg("lr", |a| a.default_value("5e-4")))]`.

use crate::range::{MANY, TOKENS, count, positive, rate, within};
use crate::rollout::Sampler;
use crate::train::{Learner, Run};
use autograd::{AdamWConfig, Params, Schedule};
use clap::{Args, Command};
use serde::{Deserialize, Serialize};

/// The defaults written in the attributes of a configuration.
pub fn defaults<A: Args>() -> A {
    let matches = A::augment_args(Command::new("defaults")).get_matches_from(["defaults"]);
    A::from_arg_matches(&matches).expect("every key has a default or is optional")
}

/// `Default` of each, from its attributes.
macro_rules! default_from_attributes {
    ($($config:ty),+) => {$(
        impl Default for $config {
            fn default() -> $config {
                $crate::methods::groups::defaults()
            }
        }
    )+};
}
pub(crate) use default_from_attributes;

default_from_attributes!(Optim, Cosine, Adapter, Compute, Saving, Sampling);

/// The optimizer, AdamW, and its learning rate.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Optim {
    /// Peak learning rate
    #[arg(long, alias = "learning-rate", default_value = "3e-4", value_parser = rate::<f64>())]
    pub lr: f64,
    /// Steps of linear warm-up
    #[arg(long, default_value_t = 0, value_parser = count(0, MANY))]
    pub warmup: usize,
    /// Pulls on matrices, not on norms and biases
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 100.0))]
    pub weight_decay: f64,
    /// The gradient is shortened to this norm; 0 leaves it
    #[arg(long, alias = "grad-clip", default_value_t = 1.0, value_parser = within::<f64>(0.0, 1e6))]
    pub max_grad_norm: f64,
}

impl Optim {
    /// What learns by this optimizer, among the ranks of the run.
    pub(crate) fn learner(&self, params: Params, run: &Run) -> Learner {
        Learner::new(params, self.adam(), self.max_grad_norm as f32).among(&run.comm)
    }

    /// AdamW with this weight decay.
    pub(crate) fn adam(&self) -> AdamWConfig {
        AdamWConfig { weight_decay: self.weight_decay as f32, ..AdamWConfig::default() }
    }
}

/// A learning rate that sinks along half a cosine after its warm-up.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Cosine {
    /// Where the cosine ends, as a share of the peak
    #[arg(long, alias = "lr-floor", default_value_t = 0.1, value_parser = within::<f64>(0.0, 1.0))]
    pub min_lr_ratio: f64,
}

impl Cosine {
    pub(crate) fn schedule(&self, optim: &Optim) -> Schedule {
        Schedule::Cosine { warmup: optim.warmup, floor: self.min_lr_ratio as f32 }
    }
}

/// LoRA: small matrices that learn beside frozen ones.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Adapter {
    /// Rank of LoRA adapters, which learn in place of the model, frozen in bf16; 0 = all of the model learns
    #[arg(long, default_value_t = 0, value_parser = count(0, 1 << 16))]
    pub lora_rank: usize,
    /// Adapters are scaled by this / lora_rank
    #[arg(long, default_value_t = 32.0, value_parser = positive::<f64>(1e6))]
    pub lora_alpha: f64,
    /// Linear layers that get an adapter, by PEFT's names such as q_proj,v_proj; or all-linear
    #[arg(long, default_value = "all-linear")]
    pub lora_targets: String,
}

/// How a step is computed: time and memory depend on it.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Compute {
    /// Tokens a micro-batch: memory depends on it, results do not
    #[arg(long, default_value_t = 8192, value_parser = count(1, 1 << 30))]
    pub token_budget: usize,
    /// Keep only each block's input and run it again on the way back: less memory, a third more time
    #[arg(long, alias = "checkpointing", default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub gradient_checkpointing: bool,
    /// How products multiply; bf16 rounds their operands, sums are f32
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
}

/// How products multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// all 24 bits of f32
    F32,
    /// operands with 8 bits, sums in f32
    Bf16,
}

impl From<Precision> for kernels::Precision {
    fn from(precision: Precision) -> kernels::Precision {
        match precision {
            Precision::F32 => kernels::Precision::F32,
            Precision::Bf16 => kernels::Precision::Bf16,
        }
    }
}

/// When a training that may be interrupted is written down.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Saving {
    /// A checkpoint every so many steps
    #[arg(long, default_value_t = 100, value_parser = count(0, MANY))]
    pub save_every: usize,
}

/// How completions are drawn, for methods that learn from their own.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
pub struct Sampling {
    /// Temperature of sampling; the same divides the logits everywhere else
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f64>(1000.0))]
    pub temperature: f64,
    /// Longest completion in tokens
    #[arg(long, alias = "max-new", default_value_t = 48, value_parser = count(1, TOKENS))]
    pub max_new_tokens: usize,
    /// Completions that grow side by side: memory depends on it
    #[arg(long, default_value_t = 64, value_parser = count(1, 1 << 20))]
    pub generate_batch: usize,
}

impl Sampling {
    pub(crate) fn sampler<'a>(&self, eos_ids: &'a [u32], token_budget: usize) -> Sampler<'a> {
        let Sampling { temperature, max_new_tokens, generate_batch } = *self;
        Sampler { temperature: temperature as f32, max_new_tokens, generate_batch, eos_ids, token_budget }
    }
}

#[cfg(test)]
mod tests {
    use crate::methods::{ppo, pretrain, rm, sft};

    #[test]
    fn a_method_overrides_the_defaults_of_a_group() {
        let (pretrain, sft) = (pretrain::Config::default(), sft::Config::default());
        let (rm, ppo) = (rm::Config::default(), ppo::Config::default());
        assert_eq!([&pretrain.optim, &sft.optim, &rm.optim, &ppo.optim].map(|o| o.lr), [1e-3, 5e-4, 3e-4, 3e-4]);
        assert_eq!([&pretrain.optim, &sft.optim, &rm.optim, &ppo.optim].map(|o| o.warmup), [20, 0, 0, 10]);
        assert_eq!([&pretrain.optim, &sft.optim].map(|o| o.weight_decay), [0.1, 0.0]);
        let saving = [&pretrain.saving, &sft.saving, &rm.saving, &ppo.saving];
        assert_eq!(saving.map(|s| s.save_every), [100, 100, 50, 10]);
    }

    /// One table of keys, whatever group they stand in.
    #[test]
    fn groups_are_flat_in_files_and_flags() {
        let keys = serde_json::to_value(ppo::Config::default()).unwrap();
        assert_eq!((&keys["lr"], &keys["lora_rank"], &keys["precision"]), (&3e-4.into(), &0.into(), &"f32".into()));
        let command = <ppo::Config as clap::Args>::augment_args(clap::Command::new("ppo"));
        let flags: Vec<String> = command.get_arguments().map(|a| a.get_id().to_string()).collect();
        assert!(
            keys.as_object().unwrap().keys().all(|key| flags.contains(key))
                && flags.len() == keys.as_object().unwrap().len()
        );
        let given = ["ppo", "--max-new", "7", "--missing-end-penalty=0", "--grad-clip=2", "--checkpointing"];
        let config = <ppo::Config as clap::FromArgMatches>::from_arg_matches(&command.get_matches_from(given)).unwrap();
        assert_eq!((config.sampling.max_new_tokens, config.missing_eos_penalty), (7, 0.0));
        assert_eq!((config.optim.max_grad_norm, config.compute.gradient_checkpointing), (2.0, true));
    }
}
