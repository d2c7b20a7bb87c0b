//! SFT, and the separate one of two epochs from which PPO starts (appendix C.3).

use super::{
    Host, Needs, ROWS, Shown, Sizes, Stage, Verb, all_go_together, config, lengths, micro_batch, nothing_instead,
    outcome,
};
use crate::config::{Recipe, Section};
use crate::error::Result;
use crate::training::Setup;
use crate::training::memory::{Need, Plan};
use clap::Args;
use model::{BaseModels, HeadKind, Model};
use rlhf_core::methods::sft::{Config, train};
use std::path::PathBuf;

const SECTION: Section = Section::of::<Config>("sft");
const OF_INIT: Section = Section::of::<Config>("init");

/// The model that PPO starts from and is held near: two epochs, a tenth of pretraining text.
pub const INIT: Stage = Stage {
    name: "init",
    section: OF_INIT,
    verb: None,
    shown: &[Shown {
        name: "init",
        label: "SFT, 2 epochs (PPO's start)",
        what: "base after a short supervised fine-tuning: what PPO starts from and is held near",
        colour: 6,
        few_shot: false,
    }],
    needs: |recipe| needs(recipe, OF_INIT.name),
    memory: |sizes, size| memory(sizes, size, OF_INIT.name),
    flops: |sizes, size| flops(sizes, size, OF_INIT.name),
    ..SFT
};

/// The model that the paper compares with: many epochs over the demonstrations.
pub const SFT: Stage = Stage {
    name: "sft",
    section: SECTION,
    zero: &[],
    per_size: true,
    by_default: true,
    verb: Some(Verb {
        name: "sft",
        about: "Tune on demonstrations: the loss is on the answers alone",
        examples: "Examples:
  rlhf sft --model base --data demonstrations.jsonl --out sft --epochs 3 --lr 2e-4
  rlhf sft --model base --data demonstrations.jsonl --text book.txt --pretrain-mix 0.1 --out init --epochs 2",
        sections: &[ROWS, SECTION],
        files: Text::augment_args,
        fresh: false,
    }),
    shown: &[Shown {
        name: "sft",
        label: "SFT",
        what: "base after supervised fine-tuning on demonstrations, for as many epochs as the recipe says: what PPO has to beat",
        colour: 2,
        few_shot: false,
    }],
    from: |_| Some("base".into()),
    needs: |recipe| needs(recipe, SECTION.name),
    check: all_go_together,
    instead: nothing_instead,
    memory: |sizes, size| memory(sizes, size, SECTION.name),
    flops: |sizes, size| flops(sizes, size, SECTION.name),
    body,
};

#[derive(Args, Debug)]
#[group(skip)]
struct Text {
    /// Pretraining text, for --pretrain-mix
    #[arg(long, num_args = 1..)]
    text: Vec<PathBuf>,
}

fn needs(recipe: &Recipe, section: &str) -> Vec<Needs> {
    let mixes = |size: &&str| recipe.method::<Config>(section, size).pretrain_mix > 0.0;
    if recipe.sizes().iter().any(mixes) { vec![Needs::Text] } else { vec![] }
}

fn memory(sizes: &Sizes, size: &str, section: &str) -> Result<Need> {
    let config: Config = sizes.method(section, size);
    let tokens = config.compute.token_budget.min(config.batch.saturating_mul(sizes.configs[size].context));
    Ok(sizes.plan(size, &Setup::of(&config.compute, Some(&config.adapter)))?.training(tokens))
}

fn flops(sizes: &Sizes, size: &str, section: &str) -> f64 {
    let config: Config = sizes.method(section, size);
    6.0 * sizes.parameters(size) * sizes.recipe.world.demonstrations as f64 * sizes.row() * config.epochs
}

fn body(host: &mut dyn Host) -> Result {
    let config: Config = config(host);
    let setup = Setup::of(&config.compute, Some(&config.adapter));
    let start = host.start(&setup, &mut BaseModels::default(), Some(HeadKind::Lm))?;
    let demonstrations = host.demonstrations()?;
    let text = if config.pretrain_mix > 0.0 { host.text("--pretrain-mix")? } else { Vec::new() };
    host.begin()?;
    let lengths = lengths(&demonstrations).chain(lengths(&text));
    let tokens = micro_batch(config.compute.token_budget, config.batch, lengths);
    host.fits(&Plan::of_model(&start, &setup).training(tokens))?;
    let mut run = host.training(config.saving.save_every);
    let trained = train(&start.net, start.params, &demonstrations, &text, &config, host.rng(), &mut run);
    host.finish(&Model { params: outcome(host, trained)?, net: start.net })
}
