//! `rlhf run`: the pipeline of a recipe, stage by stage. Each finished stage is a folder with a marker, so that a run
//! that was stopped or killed goes on where it was; an unfinished training stage goes on from its checkpoint.

mod answers;

mod evaluate;
mod files;
mod folder;
mod judges;
mod materials;
mod models;
mod rank;
mod runner;
mod stages;
mod tuning;

pub mod configs;
pub mod text;
pub use folder::write_environment as environment_of;
pub use models::{Model, config, drop_checkpoints, library_failure};
pub use runner::{Reporter, train_failure};
pub use text::TextRanking;
pub use tuning::Tuning;

use crate::error::{Failure, Result};
use crate::memory::Need;
use crate::recipe::Recipe;
use crate::report;
use crate::results::Results;
use kernels::{Device, Rng};
use materials::Materials;
use runner::Pipeline;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a run needs from the command line.
pub struct Request<'a> {
    pub recipe: &'a Recipe,
    pub dir: &'a Path,
    pub resume: bool,
    pub device: Device,
    /// What the largest stage takes at most.
    pub memory: Need,
    pub threads: usize,
    pub quiet: bool,
    pub verbose: bool,
    pub stop: Arc<AtomicBool>,
}

/// Runs every stage that is not done yet; returns the results, which are also in `results.json` and `report.html`.
pub fn run(request: &Request) -> Result<Results> {
    let recipe = request.recipe;
    folder::open(request.dir, recipe, request.resume)?;
    folder::write_environment(request.dir, &request.device.name(), request.threads)?;
    let mut pipeline = Pipeline::new(request)?;
    pipeline.reporter.say(&format!("largest stage: {}", request.memory));
    let materials = Materials::gather(recipe, Rng::new(recipe.seed).stream("materials"))?;
    let codec = stages::tokenizer(&mut pipeline, &materials)?;
    for size in recipe.sizes() {
        stages::base(&mut pipeline, &codec, &materials, size)?;
        stages::sft(&mut pipeline, &codec, &materials, size)?;
        stages::init(&mut pipeline, &codec, &materials, size)?;
    }
    let preferences = rank::preferences(&mut pipeline, &codec, &materials)?;
    stages::reward_model(&mut pipeline, &codec, &materials, &preferences)?;
    for size in recipe.sizes() {
        stages::ppo(&mut pipeline, &codec, &materials, size, false)?;
        stages::ppo(&mut pipeline, &codec, &materials, size, true)?;
    }
    let results = evaluate::evaluate(&mut pipeline, &codec, &materials, &preferences)?;
    results.write(request.dir)?;
    report::write(request.dir)?;
    Ok(results)
}

/// (name, meaning, healthy range) of every figure that a stage logs.
pub fn metric_texts() -> Vec<(&'static str, &'static str, &'static str)> {
    let gold = (
        "gold",
        "Mean gold score of the rollouts of an iteration: what the reward model stands for, which PPO never sees.",
        "Rises with objective/scores. When it falls while they rise, the policy exploits the reward model.",
    );
    let mut texts: Vec<_> = rlhf_core::metrics::METRICS.iter().map(|m| (m.name, m.meaning, m.healthy)).collect();
    texts.push(gold);
    texts
}

/// A stage's own random numbers: of the seed and its name, so that they do not depend on what ran before.
pub fn stage_rng(recipe: &Recipe, stage: &str) -> Rng {
    Rng::new(recipe.seed).stream(stage)
}

/// The failure for a stage that wants more than the recipe or the data give.
fn too_little(what: &str) -> Failure {
    Failure::data(format!("{what}; give more data, or a smaller data.holdout"))
}
