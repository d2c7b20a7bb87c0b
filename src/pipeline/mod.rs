//! `rlhf run`: the pipeline of a recipe, stage by stage. Each finished stage is a folder with a marker, so that a run
//! that was stopped or killed goes on where it was; an unfinished training stage goes on from its checkpoint.

mod answers;
mod datasets;
mod evaluate;
mod files;
mod judges;
mod rankings;
mod runner;
mod stages;

use crate::config::Recipe;
use crate::config::sections::{Data, Source, given};
use crate::error::{Failure, Result};
use crate::folder::{self, inputs::Inputs};
use crate::progress::{Mode, Progress};
use crate::report;
use crate::results::Results;
use crate::training::memory::Need;
use datasets::Materials;
use kernels::{Device, Rng};
use rankings::Rankings;
use rlhf_core::data::Codec;
use runner::Pipeline;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a run needs from the command line.
pub struct Request<'a> {
    pub recipe: &'a Recipe,
    pub dir: &'a Path,
    pub resume: bool,
    /// Go on though recipe, data or machine are others.
    pub force: bool,
    pub device: Device,
    /// What the largest stage takes at most.
    pub memory: Need,
    pub threads: usize,
    pub quiet: bool,
    pub verbose: bool,
    pub stop: Arc<AtomicBool>,
}

/// Makes a stage of one size.
type Make = fn(&mut Pipeline, &Codec, &Materials, &str) -> Result;

/// Runs every stage that is not done yet; returns the results, which are also in `results.json` and `report.html`.
pub fn run(request: &Request) -> Result<Results> {
    let recipe = request.recipe;
    let inputs = inputs_of(recipe, &request.device)?;
    let (_lock, told) = folder::open(request.dir, recipe, &inputs, request.resume, request.force)?;
    folder::write_environment(request.dir, &request.device.name(), request.threads)?;
    if request.resume && told.is_none() && is_finished(request.dir, recipe) {
        Progress::new(Mode::of_stderr(request.quiet)).say(&format!("{} is finished already", request.dir.display()));
        return Results::read(request.dir);
    }
    let mut pipeline = Pipeline::new(request)?;
    told.iter().for_each(|what| pipeline.reporter.say(what));
    pipeline.reporter.say(&format!("largest stage: {}", request.memory));
    let there = stages::codec_of_models(&pipeline)?;
    let template = there.as_ref().map(|codec| codec.template.clone());
    let materials = Materials::gather(recipe, template, Rng::new(recipe.seed).stream("materials"))?;
    let mut codec = match there {
        Some(codec) => codec,
        None => stages::tokenizer(&mut pipeline, &materials)?,
    };
    stages::check_judge(&pipeline, &mut codec)?;
    for (kind, stage) in [("base", stages::base as Make), ("sft", stages::sft), ("init", stages::init)] {
        for size in recipe.sizes().into_iter().filter(|_| recipe.makes(kind)) {
            stage(&mut pipeline, &codec, &materials, size)?;
        }
    }
    let preferences = match recipe.has_rm() {
        true => rankings::preferences(&mut pipeline, &codec, &materials)?,
        false => Rankings::default(),
    };
    if recipe.makes("rm") {
        stages::reward_model(&mut pipeline, &codec, &materials, &preferences)?;
    }
    for (kind, stage) in [("ppo", stages::ppo as Make), ("ppo_ptx", stages::ppo_ptx)] {
        for size in recipe.sizes().into_iter().filter(|_| recipe.makes(kind)) {
            stage(&mut pipeline, &codec, &materials, size)?;
        }
    }
    let results = evaluate::evaluate(&mut pipeline, &codec, &materials, &preferences)?;
    results.write(request.dir)?;
    report::write(request.dir)?;
    Ok(results)
}

/// Are all stages there that the recipe makes, and the results and the report, which come last?
fn is_finished(dir: &Path, recipe: &Recipe) -> bool {
    let mut stages = Vec::new();
    if !recipe.starts_from_models() {
        stages.push("tokenizer".to_string());
    }
    if recipe.has_rm() && recipe.data.source == Source::World {
        stages.push("rankings".into());
    }
    for kind in ["base", "sft", "init", "ppo", "ppo_ptx"].into_iter().filter(|kind| recipe.makes(kind)) {
        stages.extend(recipe.sizes().iter().map(|size| format!("{size}.{kind}")));
    }
    stages.extend(recipe.makes("rm").then(|| "rm".to_string()));
    let files = ["results.json", "report.html"];
    files.iter().all(|file| dir.join(file).exists())
        && stages.iter().all(|stage| folder::done(&folder::stage(dir, stage)).is_some())
}

/// What the recipe stands on: its files, the models that are there already, this machine.
fn inputs_of(recipe: &Recipe, device: &Device) -> Result<Inputs> {
    let mut inputs = Inputs::on(device);
    if recipe.data.source == Source::Files {
        let Data { dir, text, demonstrations, preferences, .. } = &recipe.data;
        for (key, files) in [("text", text), ("demonstrations", demonstrations), ("preferences", preferences)] {
            files.iter().try_for_each(|file| inputs.data(&format!("data.{key}"), &dir.join(file)))?;
        }
    }
    let models = recipe.model.iter().map(|(size, shape)| (format!("model.{size}.from"), &shape.from));
    for (key, path) in models.chain([("rm.model".into(), &recipe.rm.model)]) {
        given(path).map_or(Ok(()), |path| inputs.model(&key, path))?;
    }
    Ok(inputs)
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
