//! `report.html`: one file, no script, no network. Built from the run folder alone, so it can be built again later.

mod claims;
mod figures;
mod html;
mod sections;
mod tables;

pub use tables::text_table;

use crate::config::Recipe;
use crate::error::{Failure, Result};
use crate::plot::{short, standalone};
use crate::results::Results;
use crate::runlog::read_lines;
use crate::stages::{self, estimate, story_order};
use crate::stop::command;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All that a report is made of.
pub struct Run {
    /// As the user named it.
    pub dir: PathBuf,
    pub results: Results,
    /// The lines of metrics.jsonl by stage.
    pub metrics: BTreeMap<String, Vec<Value>>,
    pub samples: Vec<Value>,
    pub environment: Value,
    /// recipe.toml as it stands, and as it is read.
    pub text: String,
    pub recipe: Option<Recipe>,
    /// The sizes from small to large.
    pub sizes: Vec<String>,
    /// Of each size; none where a model to start from is gone.
    pub parameters: BTreeMap<String, f64>,
}

impl Run {
    pub fn read(dir: &Path) -> Result<Run> {
        let mut metrics: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in read_lines(&dir.join("metrics.jsonl"))? {
            let stage = line["stage"].as_str().unwrap_or_default().to_string();
            metrics.entry(stage).or_default().push(line);
        }
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let recipe = stages::parse("recipe.toml", &text("recipe.toml"), &[]).ok();
        let sizes = recipe.iter().flat_map(Recipe::sizes).map(String::from).collect();
        let parameters = recipe.as_ref().and_then(|recipe| Some(estimate(recipe).ok()?.parameters));
        Ok(Run {
            dir: dir.into(),
            results: Results::read(dir)?,
            metrics,
            samples: read_lines(&dir.join("samples.jsonl"))?,
            environment: serde_json::from_str(&text("environment.json")).unwrap_or_default(),
            text: text("recipe.toml"),
            recipe,
            sizes,
            parameters: parameters.into_iter().flatten().collect(),
        })
    }

    /// (step, value) of one figure of one stage.
    pub fn curve(&self, stage: &str, name: &str) -> Vec<(f64, f64)> {
        self.pairs(stage, "step", name)
    }

    /// (x, y) of two figures of one stage, where both are there.
    pub fn pairs(&self, stage: &str, x: &str, y: &str) -> Vec<(f64, f64)> {
        let lines = self.metrics.get(stage).map_or(&[][..], Vec::as_slice);
        lines.iter().filter_map(|l| Some((l[x].as_f64()?, l[y].as_f64()?))).collect()
    }

    /// The models that were evaluated, in the order of the story.
    pub fn models(&self) -> Vec<String> {
        tables::model_names(&self.results, &self.sizes)
    }

    /// The stages that learn from completions and were logged, in the order of the story.
    pub fn rollout_stages(&self) -> Vec<&str> {
        let mut stages: Vec<&str> = self.metrics.keys().map(String::as_str).collect();
        stages.retain(|stage| !self.curve(stage, "objective/kl").is_empty());
        let size = |stage: &str| self.sizes.iter().position(|s| stage.starts_with(&format!("{s}.")));
        stages.sort_by_key(|s| (size(s), story_order(s)));
        stages
    }
}

/// The command that talks to the last model of the story.
pub fn chat(dir: &Path, results: &Results, sizes: &[String]) -> Option<String> {
    let last = tables::model_names(results, sizes).into_iter().map(|name| dir.join(name)).rfind(|dir| dir.is_dir())?;
    Some(command(&["rlhf", "chat", "--model", &last.to_string_lossy()].map(String::from)))
}

/// "1.44 million"
fn millions(parameters: f64) -> String {
    format!("{} million", short(parameters / 1e6))
}

/// Writes `report.html` into the run folder, and its first figure as a file of its own; returns the page's path.
pub fn write(dir: &Path) -> Result<PathBuf> {
    let run = Run::read(dir)?;
    if let Some(win) = &run.results.win_rate {
        let path = dir.join("figure1.svg");
        let figure = standalone(&sections::win_rates::figure_1(&run, win, "gold", &win.gold));
        std::fs::write(&path, figure).map_err(|e| Failure::write(&path, e))?;
    }
    let path = dir.join("report.html");
    std::fs::write(&path, html::page(&run)).map_err(|e| Failure::write(&path, e))?;
    Ok(path)
}

#[cfg(test)]
mod tests;
