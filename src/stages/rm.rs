//! The reward model: all completions of a prompt are one element of a batch; afterwards a bias makes demonstrations score
//! 0 on average.

use super::{Host, ROWS, Stage, Verb, all_go_together, config, outcome};
use crate::config::Section;
use crate::config::sections::given;
use crate::error::Result;
use crate::training::memory::Plan;
use crate::training::{Setup, as_score};
use clap::{Args, Command};
use model::{BaseModels, Model};
use rlhf_core::methods::rm::{Config, accuracy, center, train};
use rlhf_core::range::within;
use rlhf_core::stats::Interval;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};

/// `[rm]` of a recipe.
#[derive(Args, Clone, Debug, Serialize)]
#[group(skip)]
pub struct Recipe {
    /// A reward model that is there already, in place of training one
    #[arg(long, default_value = "")]
    pub model: String,
    /// The size of the reward model; empty = the last of the recipe
    #[arg(long, default_value = "")]
    pub size: String,
    /// The stage it starts from: base, sft or init
    #[arg(long, default_value = "init")]
    pub from: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub config: Config,
}

pub const SECTION: Section = Section::of::<Recipe>("rm");

pub const RM: Stage = Stage {
    name: "rm",
    section: SECTION,
    zero: &[],
    per_size: false,
    by_default: true,
    verb: Some(Verb {
        name: "rm",
        about: "Train a reward model on rankings or pairs",
        examples: "Examples:
  rlhf rm --model sft --data rankings.jsonl pairs.jsonl --out rm
  rlhf rm --model sft --data pairs.jsonl --out rm --holdout 0.2 --lr 1e-4
  rlhf rm --model rm --data more-pairs.jsonl --out rm2          goes on with a reward model",
        sections: &[Section::of::<Split>("split"), ROWS, Section::of::<Config>("rm")],
        files: |command: Command| Demonstrations::augment_args(command),
        fresh: false,
    }),
    shown: &[],
    from: |recipe| Some(recipe.rm("from").into()),
    needs: |_| vec![],
    check: all_go_together,
    instead: |recipe, _| given(Path::new(recipe.rm("model"))).map(Into::into),
    memory: |sizes, size| {
        let config: Config = sizes.method(SECTION.name, size);
        let setup = Setup::of(&config.compute, Some(&config.adapter));
        Ok(sizes.plan(size, &setup)?.scoring(config.compute.token_budget))
    },
    flops: |sizes, size| {
        let (config, recipe): (Config, _) = (sizes.method(SECTION.name, size), sizes.recipe);
        let completions = (recipe.rankings.k_min as f64 + recipe.rankings.k_max as f64) / 2.0;
        let ranked = recipe.world.ranked_prompts as f64 * completions;
        6.0 * sizes.parameters(size) * ranked * sizes.row() * config.epochs
    },
    body,
};

#[derive(Args, Debug)]
#[group(skip)]
struct Demonstrations {
    /// Demonstrations that shall score 0 on average
    #[arg(long, num_args = 1..)]
    demonstrations: Vec<PathBuf>,
}

#[derive(Args, Debug, Clone, Serialize)]
#[group(skip)]
struct Split {
    /// Share of the prompts that is held out to measure the accuracy
    #[arg(long, default_value_t = 0.1, value_parser = within::<f64>(0.0, 0.9))]
    holdout: f64,
}

fn body(host: &mut dyn Host) -> Result {
    let config: Config = config(host);
    let setup = Setup::of(&config.compute, Some(&config.adapter));
    let start = host.start(&setup, &mut BaseModels::default(), None)?;
    let [rankings, heldout] = host.rankings()?;
    let demonstrations = host.demonstrations()?;
    host.begin()?;
    let start = as_score(start, host.rng().stream("head"), host.processor()); // a reward model keeps the head that it has
    let tokens = config.compute.token_budget;
    host.fits(&Plan::of_model(&start, &setup).ranking(&rankings, config.batch, tokens))?;
    let mut run = host.training(config.saving.save_every);
    let trained = train(&start.net, start.params, &rankings, &config, host.rng(), &mut run);
    let mut params = outcome(host, trained)?;
    if !demonstrations.is_empty() {
        center(&start.net, &mut params, &demonstrations, tokens);
    }
    let model = Model { params, net: start.net };
    host.finish(&model)?;
    if !heldout.is_empty() {
        print(host, &accuracy(&model.net, &model.params, &heldout, tokens), heldout.len());
    }
    Ok(())
}

/// Of held-out rankings that prefer nothing there is no accuracy.
fn print(host: &dyn Host, a: &Interval, rankings: usize) {
    let known = (a.n > 0).then(|| json!({"rate": a.rate, "low": a.low, "high": a.high, "n": a.n}));
    let [rate, low, high] = [a.rate, a.low, a.high].map(|x| 100.0 * x);
    let line = match a.n {
        0 => format!("accuracy unknown: all {rankings} held-out rankings are ties"),
        n => format!("accuracy on {n} held-out comparisons: {rate:.1} % ({low:.1}–{high:.1}); chance is 50 %"),
    };
    host.print(&line, json!({"accuracy": known}));
}
