//! Datasets of a recipe whose data source is files: books, demonstrations, rankings and pairs, split by prompt.

use super::datasets::{Datasets, Preferences, too_little};
use super::prompt::Prompt;
use crate::config::Recipe;
use crate::config::sections::Data;
use crate::error::Result;
use crate::rows;
use kernels::Rng;
use rlhf_core::data::{self, Content, Row, Template};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// `template`: that of the models, if they are there already.
pub fn gather(recipe: &Recipe, template: Option<Template>, rng: Rng) -> Result<Datasets> {
    let (section, template) = (&recipe.data, template.unwrap_or_else(Template::dialogue));
    let (text, heldout_text) = texts(section)?;
    let demonstrations = Split::of(section, &section.demonstrations, rng)?;
    let (mut train, mut heldout) = (Vec::new(), Vec::new());
    let mut asked = [demonstrations.train.clone(), demonstrations.heldout.clone()];
    for file in &section.preferences {
        let split = Split::of(section, std::slice::from_ref(file), rng)?;
        let name = file.file_name().map_or("held out".into(), |n| n.to_string_lossy().into_owned());
        let name = name.split('.').next().unwrap_or(&name).to_string();
        asked[0].extend(split.train.iter().cloned());
        asked[1].extend(split.heldout.iter().cloned());
        train.extend(split.train);
        heldout.push((name, split.heldout));
    }
    heldout.retain(|(_, rows)| !rows.is_empty());
    let wanted = [
        (&section.text, heldout_text.is_empty()),
        (&section.demonstrations, demonstrations.heldout.is_empty()),
        (&section.preferences, heldout.is_empty()),
    ];
    if wanted.iter().any(|(files, nothing)| !files.is_empty() && *nothing) {
        return Err(too_little("nothing was left to hold out"));
    }
    // Worked examples are for a base model of our own.
    let shots = match recipe.starts_from_models() {
        true => String::new(),
        false => shots(&rows::pairs(&demonstrations.train, &template)?, recipe),
    };
    let [ppo_prompts, eval_prompts] = asked.map(|rows| prompts(&rows, &shots, &template));
    Ok(Datasets {
        text,
        heldout_text,
        demonstrations: demonstrations.train,
        heldout_demonstrations: demonstrations.heldout,
        ppo_prompts: ppo_prompts?,
        eval_prompts: eval_prompts?,
        preferences: Preferences::Given { train, heldout },
        judges: None,
        template,
    })
}

/// Rows to train on and rows held out; a prompt is on the same side in every file.
struct Split {
    train: Vec<Row>,
    heldout: Vec<Row>,
}

impl Split {
    fn of(section: &Data, files: &[PathBuf], rng: Rng) -> Result<Split> {
        let (mut train, mut heldout) = (Vec::new(), Vec::new());
        for file in files {
            let mut rows = rows::load(&[section.dir.join(file)])?;
            rows.truncate(if section.limit == 0 { usize::MAX } else { section.limit });
            let (more, held) = data::split(rows, section.holdout as f32, rng);
            train.extend(more);
            heldout.extend(held);
        }
        Ok(Split { train, heldout })
    }
}

/// Every document but its last twentieth, which is held out; cut at the end of a line.
fn texts(section: &Data) -> Result<(Vec<String>, Vec<String>)> {
    if section.text.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let files: Vec<PathBuf> = section.text.iter().map(|f: &PathBuf| section.dir.join(f as &Path)).collect();
    let cut = |text: String| {
        let mut at = text.len() - text.len() / 20;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let at = text[..at].rfind('\n').map_or(at, |i| i + 1);
        let rest = text[at..].to_string();
        (text[..at].to_string(), rest)
    };
    let (train, heldout): (Vec<String>, Vec<String>) = rows::texts(&files)?.into_iter().map(cut).unzip();
    Ok((train, heldout.into_iter().filter(|t| !t.is_empty()).collect()))
}

fn prompts(rows: &[Row], shots: &str, template: &Template) -> Result<Vec<Prompt>> {
    let mut seen = HashSet::new();
    let found = data::prompts(rows)?;
    let prompt = |content: Content| {
        let text = template.prompt_text(&content)?;
        Ok(Prompt { content, text, shots: shots.to_string(), task: None })
    };
    let mut prompts = found.into_iter().map(prompt).collect::<Result<Vec<_>>>()?;
    prompts.retain(|prompt| seen.insert(prompt.text.clone()));
    Ok(prompts)
}

/// Two worked examples that leave room for a prompt: the shortest demonstrations of some substance.
fn shots(shown: &[(String, String)], recipe: &Recipe) -> String {
    let longest = recipe.model.values().map(|s| s.context).min().unwrap_or(0);
    let mut fit: Vec<&(String, String)> =
        shown.iter().filter(|(p, c)| c.len() >= 20 && p.len() + c.len() <= longest).collect();
    fit.sort_by_key(|(p, c)| p.len() + c.len());
    fit.iter().take(2).map(|(p, c)| format!("{p}{}\n", c.replace('\n', " "))).collect()
}
