//! From a section of the recipe to the configuration of a training loop.

use crate::config::PerSize;
use crate::config::sections::{Ppo, Pretrain, Rm, Sft};
use rlhf_core::ppo::PpoConfig;
use rlhf_core::ppo::advantage::KlControl;
use rlhf_core::pretrain::PretrainConfig;
use rlhf_core::rm::RmConfig;
use rlhf_core::sft::SftConfig;

/// The value for a size; `Recipe::check` made sure that there is one.
fn of(value: &PerSize, size: &str) -> f32 {
    value.get(size).expect("checked when the recipe was read") as f32
}

/// `sequences`: how many the text has, since the loop counts epochs and the recipe steps.
pub fn pretrain(section: &Pretrain, size: &str, sequences: usize) -> PretrainConfig {
    let steps = of(&section.steps, size);
    PretrainConfig {
        epochs: steps * section.batch as f32 / sequences as f32,
        batch: section.batch,
        lr: of(&section.lr, size),
        warmup: section.warmup,
        lr_floor: section.lr_floor as f32,
        weight_decay: section.weight_decay as f32,
        grad_clip: section.grad_clip as f32,
        token_budget: section.token_budget,
    }
}

pub fn sft(section: &Sft, size: &str) -> SftConfig {
    SftConfig {
        epochs: section.epochs as f32,
        batch: section.batch,
        lr: of(&section.lr, size),
        warmup: section.warmup,
        lr_floor: section.lr_floor as f32,
        dropout: section.dropout as f32,
        pretrain_mix: section.pretrain_mix as f32,
        weight_decay: section.weight_decay as f32,
        grad_clip: section.grad_clip as f32,
        token_budget: section.token_budget,
    }
}

pub fn rm(section: &Rm) -> RmConfig {
    RmConfig {
        epochs: section.epochs as f32,
        batch: section.batch,
        lr: section.lr as f32,
        warmup: section.warmup,
        lr_floor: section.lr_floor as f32,
        weight_decay: section.weight_decay as f32,
        grad_clip: section.grad_clip as f32,
        token_budget: section.token_budget,
    }
}

pub fn ppo(section: &Ppo, size: &str, ptx_coef: f64) -> PpoConfig {
    let kl = match section.kl_target {
        0.0 => KlControl::Fixed,
        target => KlControl::Adaptive { target: target as f32, horizon: section.kl_horizon as f32 },
    };
    PpoConfig {
        episodes: section.episodes,
        batch: section.batch,
        minibatch: section.minibatch,
        epochs: section.epochs,
        lr: of(&section.lr, size),
        value_lr: section.value_lr as f32,
        warmup: section.warmup,
        clip: section.clip as f32,
        value_clip: section.value_clip as f32,
        gamma: section.gamma as f32,
        lambda: section.lambda as f32,
        kl_coef: section.kl_coef as f32,
        kl,
        whiten_rewards: section.whiten_rewards,
        temperature: section.temperature as f32,
        max_new: section.max_new,
        missing_end_penalty: section.missing_end_penalty as f32,
        score_clip: section.score_clip as f32,
        ema: section.ema as f32,
        ptx_coef: ptx_coef as f32,
        ptx_ratio: section.ptx_ratio as f32,
        weight_decay: section.weight_decay as f32,
        adam_eps: section.adam_eps as f32,
        grad_clip: section.grad_clip as f32,
        token_budget: section.token_budget,
        generate_batch: 64,
    }
}
