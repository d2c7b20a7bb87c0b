//! PPO against a reward model, and PPO-ptx, which mixes pretraining gradients into every step.

use super::{Host, Needs, ROWS, Shown, Stage, Verb, config, nothing_instead, outcome};
use crate::config::Section;
use crate::error::Result;
use crate::training::Setup;
use crate::training::memory::Plan;
use clap::Args;
use model::{BaseModels, HeadKind, Model};
use rlhf_core::methods::ppo::{Config, Models, train};
use rlhf_core::methods::rm;
use rlhf_core::rewards::Rewards;
use rlhf_core::rollout::Episode;
use std::path::PathBuf;
use std::sync::Arc;

const SECTION: Section = Section::of::<Config>("ppo");

/// PPO from the two-epoch SFT against the reward model. What is kept, and evaluated, is the average of the weights.
pub const PPO: Stage = Stage {
    name: "ppo",
    section: SECTION,
    zero: &["ptx_coef"],
    per_size: true,
    by_default: true,
    verb: Some(Verb {
        name: "ppo",
        about: "Tune against a reward model: PPO, or PPO-ptx with --ptx-coef",
        examples: "Examples:
  rlhf ppo --model init --reward rm --data prompts.jsonl --out ppo
  rlhf ppo --model init --reward rm --data prompts.jsonl --text book.txt --ptx-coef 2 --out ppo_ptx",
        sections: &[ROWS, SECTION],
        files: Files::augment_args,
        fresh: false,
    }),
    shown: &[Shown {
        name: "ppo",
        label: "PPO",
        what: "reinforcement learning: its completions are scored by the reward model, and KL holds it near where it started",
        colour: 3,
        few_shot: false,
    }],
    from: |recipe| Some(recipe.ppo_start().into()),
    needs: |_| vec![Needs::RewardModel],
    check: |keys, named| {
        let [batch, minibatch] = ["batch", "minibatch"].map(|key| keys[key].as_integer().unwrap_or_default());
        match batch % minibatch.clamp(1, batch.max(1)) {
            0 => Ok(()),
            _ => Err(format!("{} is not a multiple of {}", named("batch"), named("minibatch"))),
        }
    },
    instead: nothing_instead,
    memory: |sizes, size| {
        let (config, rm): (Config, _) = (sizes.method(SECTION.name, size), sizes.recipe.rm_size());
        let setup = Setup::of(&config.compute, Some(&config.adapter));
        let longest = sizes.configs[size].context.min(sizes.configs[rm].context);
        Ok(sizes.plan(size, &setup)?.ppo(&sizes.plan(rm, &setup)?, false, &config, longest))
    },
    flops: |sizes, size| {
        let config: Config = sizes.method(SECTION.name, size);
        let (n, rm) = (sizes.parameters(size), sizes.parameters(sizes.recipe.rm_size()));
        let tokens = config.episodes as f64 * 2.0 * config.sampling.max_new_tokens as f64;
        // Generation, the reference, the reward and the value read; policy and value train.
        tokens * (2.0 * (2.0 * n + 2.0 * rm) + 6.0 * (n + rm) * config.epochs as f64)
    },
    body,
};

/// The same with pretraining gradients mixed into every step.
pub const PPO_PTX: Stage = Stage {
    name: "ppo_ptx",
    zero: &[],
    verb: None,
    shown: &[Shown {
        name: "ppo_ptx",
        label: "PPO-ptx",
        what: "the same, with steps on pretraining text mixed in, so that it does not forget: the paper's InstructGPT",
        colour: 4,
        few_shot: false,
    }],
    needs: |_| vec![Needs::RewardModel, Needs::Text],
    flops: |sizes, size| {
        let config: Config = sizes.method(SECTION.name, size);
        let sequences = config.ptx_ratio * config.episodes as f64;
        let mixed = 6.0 * sizes.parameters(size) * sequences * sizes.configs[size].context as f64;
        (PPO.flops)(sizes, size) + mixed
    },
    ..PPO
};

#[derive(Args, Debug)]
#[group(skip)]
struct Files {
    /// The reward model; the value network starts as a copy of it
    #[arg(long)]
    reward: Option<PathBuf>,
    /// Pretraining text, for --ptx-coef
    #[arg(long, num_args = 1..)]
    text: Vec<PathBuf>,
}

fn body(host: &mut dyn Host) -> Result {
    let config: Config = config(host);
    let (setup, mut bases) = (Setup::of(&config.compute, Some(&config.adapter)), BaseModels::default());
    let start = host.start(&setup, &mut bases, Some(HeadKind::Lm))?;
    let judge = host.reward_model(&setup, &mut bases, &start)?;
    let text = if config.ptx_coef > 0.0 { host.text("--ptx-coef")? } else { Vec::new() };
    let prompts = host.prompts(config.sampling.max_new_tokens)?;
    host.begin()?;
    let longest = config.sampling.max_new_tokens + prompts.iter().map(Vec::len).max().unwrap_or(0);
    let shared = Arc::ptr_eq(start.params.base(), judge.params.base());
    host.fits(&Plan::of_model(&start, &setup).ppo(&Plan::of_model(&judge, &setup), shared, &config, longest))?;
    let eos_ids = host.processor().eos_ids.clone();
    let score = rm::reward(&judge.net, &judge.params, config.compute.token_budget);
    let reward = |episodes: &[Episode]| score(episodes).map(|of| Rewards { parts: host.watch(episodes), ..of });
    let models = Models {
        policy: &start.net,
        policy_params: start.params.clone(),
        reference: (&start.net, &start.params),
        value: &judge.net,
        value_params: judge.params.clone(),
        reward: &reward,
        eos_ids: &eos_ids,
    };
    let mut run = host.training(config.saving.save_every);
    let trained = train(models, &prompts, &text, &config, host.rng(), &mut run);
    let trained = outcome(host, trained)?;
    host.save_beside("value", &Model { net: judge.net.clone(), params: trained.value })?;
    let params = if config.ema > 0.0 { trained.ema } else { trained.policy };
    host.finish(&Model { params, net: start.net })
}
