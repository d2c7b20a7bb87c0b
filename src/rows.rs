//! Data files as the verbs and recipes use them.

use crate::error::{Failure, Result};
use rlhf_core::data::{self, Content, DataError, Example, Part, Processor, Row, Template};
use std::path::{Path, PathBuf};

/// The rows of files. Columns that are not used are told.
pub fn load(files: &[PathBuf]) -> Result<Vec<Row>> {
    let mut stream = data::stream(files)?;
    let rows = stream.by_ref().collect::<std::result::Result<_, _>>()?;
    tell_unused(&stream);
    Ok(rows)
}

fn tell_unused(stream: &data::Stream) {
    if let Some(report) = data::unused_report(&stream.unused) {
        eprintln!("of the rows {report}");
    }
}

/// What the demonstrations of files are to a model. Rows are let go as they are encoded.
pub fn demonstrations(files: &[PathBuf], processor: &Processor) -> Result<Vec<Example>> {
    let encode = || -> std::result::Result<Vec<Example>, DataError> {
        let (mut examples, mut kinds) = (Vec::new(), Vec::new());
        let mut stream = data::stream(files)?;
        for row in stream.by_ref() {
            let row = row?;
            examples.extend(processor.demonstrations_of(&row)?);
            if examples.is_empty() {
                kinds.push(row);
            }
        }
        tell_unused(&stream);
        processor.wanted("demonstrations", &kinds, examples)
    };
    encode().map_err(Failure::from)
}

/// Prompt and answer of every demonstration, as text.
pub fn pairs(rows: &[Row], template: &Template) -> Result<Vec<(String, String)>> {
    let found = data::demonstrations(rows)?;
    found.iter().map(|(prompt, answer)| template.pair_text(prompt, answer).map_err(Failure::from)).collect()
}

/// Texts to pretrain on.
pub fn texts(files: &[PathBuf]) -> Result<Vec<String>> {
    let rows = load(files)?;
    Ok(data::texts(&rows)?.into_iter().map(String::from).collect())
}

/// The rows to train on and those held out: those of a folder's own files, else split by prompt.
pub fn split(files: &[PathBuf], holdout: f64, rng: kernels::Rng) -> Result<(Vec<Row>, Vec<Row>)> {
    let own = |dir: &PathBuf| data::files_of(dir, Part::HeldOut).unwrap_or_default();
    let heldout: Vec<PathBuf> = files.iter().flat_map(own).collect();
    if !heldout.is_empty() {
        return Ok((load(files)?, load(&heldout)?));
    }
    let (train, heldout) = data::split(load(files)?, holdout as f32, rng);
    match train.is_empty() {
        true => Err(Failure::data(format!(
            "of {} rows all are held out by --holdout {holdout}, and none is left to learn from; give more rows, or \
             --holdout 0",
            heldout.len()
        ))),
        false => Ok((train, heldout)),
    }
}

/// Everything with an answer: rankings as they are, demonstrations as rankings of one.
pub fn scorable(files: &[PathBuf]) -> Result<Vec<Row>> {
    let mut all = Vec::new();
    for row in load(files)? {
        match row {
            Row::Ranked { .. } => all.push(row),
            Row::Labelled { prompt, completion, .. } => all.push(alone((prompt, completion))),
            Row::Messages(_) | Row::Demonstration { .. } => {
                all.extend(data::demonstrations(&[row])?.into_iter().map(alone))
            }
            Row::Text(_) | Row::Prompt(_) => {}
        }
    }
    match all.is_empty() {
        false => Ok(all),
        true => Err(Failure::data(format!(
            "{}: no answers in it; rewards are for prompts with answers",
            files[0].display()
        ))),
    }
}

fn alone((prompt, completion): (Content, Content)) -> Row {
    Row::Ranked { prompt, completions: vec![completion], ranks: vec![0.0] }
}

/// Prompts of a file: a line of a `.txt` each, or rows with a prompt.
pub fn prompts(file: &Path) -> Result<Vec<Content>> {
    if let Some(lines) = data::prompt_lines(file)? {
        return Ok(lines.into_iter().map(Content::Text).collect());
    }
    data::prompts(&load(&[file.to_path_buf()])?).map_err(Failure::from)
}
