//! From a section of the recipe to the configuration of a training loop.

use crate::config::PerSize;
use crate::config::sections::{Ppo, Pretrain, Rm, Sft};
use rlhf_core::methods::groups::{Adapter, Compute, Cosine, Optim, Sampling, Saving};
use rlhf_core::methods::{ppo, pretrain, rm, sft};

/// The value for a size; `Recipe::check` made sure that there is one.
fn of(value: &PerSize, size: &str) -> f64 {
    value.get(size).expect("checked when the recipe was read")
}

/// The groups of a section that has them under the old names.
macro_rules! groups {
    ($section:ident, $lr:expr) => {
        (
            Optim {
                lr: $lr,
                warmup: $section.warmup,
                weight_decay: $section.weight_decay,
                max_grad_norm: $section.grad_clip,
            },
            Compute {
                token_budget: $section.token_budget,
                gradient_checkpointing: $section.checkpointing,
                precision: $section.precision,
            },
            Saving { save_every: $section.save_every },
        )
    };
}

macro_rules! adapter {
    ($section:ident) => {
        Adapter {
            lora_rank: $section.lora_rank,
            lora_alpha: $section.lora_alpha,
            lora_targets: $section.lora_targets.clone(),
        }
    };
}

pub fn pretrain(section: &Pretrain, size: &str) -> pretrain::Config {
    let (optim, compute, saving) = groups!(section, of(&section.lr, size));
    let cosine = Cosine { min_lr_ratio: section.lr_floor };
    pretrain::Config { steps: of(&section.steps, size) as usize, batch: section.batch, optim, cosine, compute, saving }
}

pub fn sft(section: &Sft, size: &str) -> sft::Config {
    let (optim, compute, saving) = groups!(section, of(&section.lr, size));
    sft::Config {
        epochs: section.epochs,
        batch: section.batch,
        dropout: section.dropout,
        pretrain_mix: section.pretrain_mix,
        optim,
        cosine: Cosine { min_lr_ratio: section.lr_floor },
        adapter: adapter!(section),
        compute,
        saving,
    }
}

pub fn rm(section: &Rm) -> rm::Config {
    let (optim, compute, saving) = groups!(section, section.lr);
    rm::Config {
        epochs: section.epochs,
        batch: section.batch,
        optim,
        cosine: Cosine { min_lr_ratio: section.lr_floor },
        adapter: adapter!(section),
        compute,
        saving,
    }
}

pub fn ppo(section: &Ppo, size: &str, ptx_coef: f64) -> ppo::Config {
    let (optim, compute, saving) = groups!(section, of(&section.lr, size));
    ppo::Config {
        episodes: section.episodes,
        batch: section.batch,
        minibatch: section.minibatch,
        epochs: section.epochs,
        optim,
        value_lr: section.value_lr,
        clip: section.clip,
        value_clip: section.value_clip,
        gamma: section.gamma,
        lambda: section.lambda,
        kl_coef: section.kl_coef,
        kl_target: section.kl_target,
        kl_horizon: section.kl_horizon,
        whiten_rewards: section.whiten_rewards,
        sampling: Sampling { temperature: section.temperature, max_new_tokens: section.max_new, ..Sampling::default() },
        missing_eos_penalty: section.missing_end_penalty,
        score_clip: section.score_clip,
        ema: section.ema,
        ptx_coef,
        ptx_ratio: section.ptx_ratio,
        adam_eps: section.adam_eps,
        adapter: adapter!(section),
        compute,
        saving,
    }
}
