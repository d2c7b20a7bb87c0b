//! Pretraining: a language model from text, from fresh numbers or going on with one.

use super::{Host, Needs, Shown, Stage, Verb, all_go_together, config, lengths, micro_batch, no_files, outcome};
use crate::config::Section;
use crate::config::sections::{Shape, Tokenizer, given};
use crate::error::Result;
use crate::training::Setup;
use crate::training::memory::Plan;
use model::{BaseModels, HeadKind, Model};
use rlhf_core::methods::pretrain::{Config, train};

const SECTION: Section = Section::of::<Config>("pretrain");

pub const BASE: Stage = Stage {
    name: "base",
    section: SECTION,
    zero: &[],
    per_size: true,
    by_default: true,
    verb: Some(Verb {
        name: "pretrain",
        about: "Train a language model from scratch, or go on training one, on plain text",
        examples: "Examples:
  rlhf pretrain --data book.txt --out base --layers 4 --channels 128 --vocab 1024 --steps 500
  rlhf pretrain --model base --data more.txt --out more --steps 200 --lr 3e-4     goes on with a model",
        sections: &[SECTION, Section::of::<Shape>("shape"), Section::of::<Tokenizer>("tokenizer")],
        files: no_files,
        fresh: true,
    }),
    shown: &[
        Shown {
            name: "base",
            label: "base",
            what: "pretrained: it goes on with text as its text goes on, and was never shown how to follow an instruction. The paper's GPT-3",
            colour: 0,
            few_shot: false,
        },
        Shown {
            name: "prompted",
            label: "base, few-shot prompt",
            what: "the same model; a few worked examples stand before each prompt. The paper's GPT-3 (prompted)",
            colour: 1,
            few_shot: true,
        },
    ],
    from: |_| None,
    needs: |_| vec![Needs::Text],
    check: all_go_together,
    instead: |recipe, size| given(&recipe.model[size].from).map(Into::into),
    memory: |sizes, size| {
        let config: Config = sizes.method(SECTION.name, size);
        let tokens = config.compute.token_budget.min(config.batch.saturating_mul(sizes.configs[size].context));
        Ok(sizes.plan(size, &Setup::of(&config.compute, None))?.training(tokens))
    },
    flops: |sizes, size| {
        let config: Config = sizes.method(SECTION.name, size);
        6.0 * sizes.parameters(size) * (config.steps * config.batch * sizes.configs[size].context) as f64
    },
    body,
};

fn body(host: &mut dyn Host) -> Result {
    let config: Config = config(host);
    let setup = Setup::of(&config.compute, None);
    let start = host.start(&setup, &mut BaseModels::default(), Some(HeadKind::Lm))?;
    let blocks = host.text("pretraining")?;
    host.begin()?;
    let tokens = micro_batch(config.compute.token_budget, config.batch, lengths(&blocks));
    host.fits(&Plan::of_model(&start, &setup).training(tokens))?;
    let mut run = host.training(config.saving.save_every);
    let params = outcome(host, train(&start.net, start.params, &blocks, &config, host.rng(), &mut run))?;
    host.finish(&Model { params, net: start.net })
}
