//! `report.html`: one file, no script, no network. Built from the run folder alone, so it can be built again later.

mod figures;
mod html;
mod samples;
mod tables;

pub use tables::text_table;

use crate::error::{Failure, Result};
use crate::results::Results;
use crate::runlog::read_lines;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// All that a report is made of.
pub struct Run {
    pub results: Results,
    /// The lines of metrics.jsonl by stage.
    pub metrics: BTreeMap<String, Vec<Value>>,
    pub samples: Vec<Value>,
    pub environment: Value,
    pub recipe: String,
    /// The sizes from small to large.
    pub sizes: Vec<String>,
}

impl Run {
    pub fn read(dir: &Path) -> Result<Run> {
        let mut metrics: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in read_lines(&dir.join("metrics.jsonl"))? {
            let stage = line["stage"].as_str().unwrap_or_default().to_string();
            metrics.entry(stage).or_default().push(line);
        }
        let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap_or_default();
        let recipe = text("recipe.toml");
        Ok(Run {
            results: Results::read(dir)?,
            metrics,
            samples: read_lines(&dir.join("samples.jsonl"))?,
            environment: serde_json::from_str(&text("environment.json")).unwrap_or_default(),
            sizes: sizes(&recipe),
            recipe,
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
}

fn sizes(recipe: &str) -> Vec<String> {
    let recipe = crate::stages::parse("recipe.toml", recipe, &[]);
    recipe.map_or(Vec::new(), |r| r.sizes().into_iter().map(String::from).collect())
}

/// Writes `report.html` into the run folder, and its first figure as a file of its own.
pub fn write(dir: &Path) -> Result {
    let run = Run::read(dir)?;
    if let Some(win) = &run.results.win_rate {
        let path = dir.join("figure1.svg");
        let figure = crate::plot::standalone(&figures::figure_1(&run, "gold", &win.gold));
        std::fs::write(&path, figure).map_err(|e| Failure::write(&path, e))?;
    }
    let path = dir.join("report.html");
    std::fs::write(&path, html::page(&run)).map_err(|e| Failure::write(&path, e))
}

#[cfg(test)]
mod tests;
