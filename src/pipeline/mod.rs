//! `rlhf run`: the pipeline of a recipe, stage by stage. Each finished stage is a folder with a marker, so that a run
//! that was stopped or killed goes on where it was; an unfinished training stage goes on from its checkpoint.

mod answers;
mod datasets;
mod evaluate;
mod files;
mod host;
mod judges;
mod prompt;
mod rankings;
mod runner;

pub use runner::Request;

use crate::config::Recipe;
use crate::config::sections::{Data, Source};
use crate::error::Result;
use crate::folder::{self, inputs::Inputs};
use crate::progress::{Mode, Progress};
use crate::report;
use crate::results::Results;
use kernels::{Device, Rng};
use rankings::Rankings;
use runner::Pipeline;
use std::path::Path;

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
    let there = host::processor_of_models(&pipeline)?;
    let template = there.as_ref().map(|processor| processor.template.clone());
    let datasets = match recipe.data.source {
        Source::World => datasets::of_world(recipe, template),
        Source::Files => files::gather(recipe, template, Rng::new(recipe.seed).stream("materials"))?,
    };
    let mut processor = match there {
        Some(processor) => processor,
        None => host::tokenizer(&mut pipeline, &datasets)?,
    };
    host::check_judge(&pipeline, &mut processor)?;
    let mut rankings = None;
    for (stage, size) in recipe.made() {
        if !stage.per_size {
            rankings = Some(rankings::preferences(&mut pipeline, &processor, &datasets)?);
        }
        host::run(&mut pipeline, stage, size, &processor, &datasets, rankings.as_ref())?;
    }
    let rankings = match rankings {
        Some(rankings) => rankings,
        None if recipe.has_rm() => rankings::preferences(&mut pipeline, &processor, &datasets)?,
        None => Rankings::default(),
    };
    let results = evaluate::evaluate(&mut pipeline, &processor, &datasets, &rankings)?;
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
    stages.extend(recipe.made().map(|(stage, size)| stage.of_size(size)));
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
    for (stage, path) in recipe.there() {
        let key = stage.strip_suffix(".base").map_or("rm.model".into(), |size| format!("model.{size}.from"));
        inputs.model(&key, &path)?;
    }
    Ok(inputs)
}
