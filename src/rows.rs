//! Data files as the verbs use them: prompts, texts, answers and rankings, in text.

use crate::error::{Failure, Result};
use crate::run::TextRanking;
use kernels::Rng;
use rlhf_core::data::{self, Content, DataError, Row, completion_text, prompt_text};
use std::path::PathBuf;

/// A data file's error as an exit code and one paragraph.
pub fn data_failure(error: DataError) -> Failure {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let joined = lines.join("; ").replace(":; ", ": ");
    Failure::data(joined)
}

pub fn load(files: &[PathBuf]) -> Result<Vec<Row>> {
    data::load(files).map_err(data_failure)
}

pub fn prompts(files: &[PathBuf]) -> Result<Vec<String>> {
    let rows = load(files)?;
    Ok(data::prompts(&rows).map_err(data_failure)?.iter().map(prompt_text).collect())
}

pub fn demonstrations(files: &[PathBuf]) -> Result<Vec<(String, String)>> {
    pairs(&load(files)?)
}

/// Prompt and answer of every demonstration.
pub fn pairs(rows: &[Row]) -> Result<Vec<(String, String)>> {
    let found = data::demonstrations(rows).map_err(data_failure)?;
    Ok(found.iter().map(|(prompt, completion)| (prompt_text(prompt), completion_text(completion))).collect())
}

/// Texts to pretrain on.
pub fn texts(files: &[PathBuf]) -> Result<Vec<String>> {
    let rows = load(files)?;
    Ok(data::texts(&rows).map_err(data_failure)?.into_iter().map(String::from).collect())
}

/// Every row as one text: a prompt with its answer, or with each of its answers.
pub fn as_texts(files: &[PathBuf]) -> Result<Vec<String>> {
    let joined = |prompt: &Content, completion: &Content| prompt_text(prompt) + &completion_text(completion);
    let text = |row: &Row| match row {
        Row::Text(text) => vec![text.clone()],
        Row::Messages(messages) => vec![completion_text(&Content::Messages(messages.clone()))],
        Row::Prompt(prompt) => vec![prompt_text(prompt)],
        Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
            vec![joined(prompt, completion)]
        }
        Row::Ranked { prompt, completions, .. } => completions.iter().map(|c| joined(prompt, c)).collect(),
    };
    Ok(load(files)?.iter().flat_map(text).collect())
}

/// The rankings to train on and those held out, split by prompt.
pub fn split_rankings(files: &[PathBuf], holdout: f64, rng: Rng) -> Result<(Vec<TextRanking>, Vec<TextRanking>)> {
    let (train, heldout) = data::split(load(files)?, holdout as f32, rng);
    Ok((rankings(&train)?, rankings(&heldout).unwrap_or_default()))
}

pub fn rankings(rows: &[Row]) -> Result<Vec<TextRanking>> {
    let found = data::rankings(rows).map_err(data_failure)?;
    let one = |(prompt, completions, ranks): (&Content, &[Content], &[f32])| TextRanking {
        prompt: prompt_text(prompt),
        completions: completions.iter().map(completion_text).collect(),
        ended: Vec::new(),
        ranks: ranks.to_vec(),
    };
    Ok(found.into_iter().map(one).collect())
}

/// Everything with an answer: rankings as they are, demonstrations as rankings of one.
pub fn scorable(files: &[PathBuf]) -> Result<Vec<TextRanking>> {
    let rows = load(files)?;
    let mut all = Vec::new();
    for row in rows.iter().map(std::slice::from_ref) {
        match &row[0] {
            Row::Ranked { .. } => all.extend(rankings(row)?),
            Row::Messages(_) | Row::Demonstration { .. } => all.extend(pairs(row)?.into_iter().map(alone)),
            Row::Labelled { prompt, completion, .. } => {
                all.push(alone((prompt_text(prompt), completion_text(completion))))
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

fn alone((prompt, completion): (String, String)) -> TextRanking {
    TextRanking { prompt, completions: vec![completion], ended: Vec::new(), ranks: vec![0.0] }
}
