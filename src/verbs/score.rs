//! `rlhf score`: the log-probability of every token given those before it.

use super::ModelArg;
use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Common;
use crate::training::loading;
use crate::training::memory::{self, Reader};
use autograd::Weights;
use clap::Args;
use model::{HeadKind, ModelError, Transformer};
use rlhf_core::data::Row;
use serde_json::{Value, json};
use std::ops::Range;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf score DIR --data texts.jsonl
  rlhf score DIR --ids-file ids.jsonl      one JSON array of ids a line; out, a line each: {\"logprobs\": [null, -1.23, …]}")]
pub struct ScoreArgs {
    #[command(flatten)]
    model: ModelArg,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::session::precision, value_name = "f32|bf16")]
    precision: kernels::Precision,
    /// Data files of any kind; a row is read as it would be trained: a prompt with its answer and end, or each of its answers
    #[arg(long, num_args = 1.., conflicts_with = "ids_file", required_unless_present = "ids_file")]
    data: Vec<PathBuf>,
    /// Strings of rows are turns of user and assistant, which the chat template writes
    #[arg(long)]
    chat: bool,
    /// One JSON array of token ids a line
    #[arg(long)]
    ids_file: Option<PathBuf>,
    /// A text longer than the context is read in windows, each with so many new tokens [default: all but one, as
    /// training reads it]; fewer give each token more to go by, and take longer
    #[arg(long)]
    stride: Option<usize>,
}

/// Tokens that go through the model at a time.
const BUDGET: usize = 4096;

pub fn run(args: &ScoreArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(args.model.path(), HeadKind::Lm, &device)?;
    let config = opened.loaded.config();
    let stride = stride(args.stride, config.context)?;
    let sequences: Vec<Vec<u32>> = match &args.ids_file {
        Some(file) => read_ids(file, config.vocab, config.context)?,
        None => {
            let mut processor = opened.processor()?;
            processor.chat = args.chat;
            let encode = |row: &Row| processor.sequences_of(row).map_err(Failure::from);
            let read = rows::load(&args.data)?.iter().map(encode).collect::<Result<Vec<_>>>()?;
            if let Some(report) = processor.cut_report() {
                eprintln!("{report}");
            }
            read.into_iter().flatten().map(|sequence| sequence.tokens).collect()
        }
    };
    tell_windows(&sequences, config.context, stride);
    let longest = sequences.iter().map(Vec::len).max().unwrap_or(0).min(config.context);
    let tokens = sequences.iter().map(Vec::len).sum::<usize>().min(BUDGET).max(longest);
    memory::check(&Reader::of(&opened.path, &device)?.reading(tokens, HeadKind::Lm), &device)?;
    let params = opened.loaded.params.clone().multiply_in(args.precision);
    let logp = logprobs(&opened.loaded.net, &params.frozen(), &sequences, stride)?;
    let lines: Vec<Value> = sequences.iter().zip(&logp).map(|(s, logp)| line(s, logp)).collect();
    if common.json && args.ids_file.is_none() {
        println!("{}", json!({ "rows": lines, "perplexity": perplexity(&logp) }));
    } else {
        lines.iter().for_each(|l| println!("{l}"));
    }
    Ok(())
}

/// How many tokens a window brings that the one before did not have; all but one where nothing was asked for.
fn stride(asked: Option<usize>, context: usize) -> Result<usize> {
    let most = context.saturating_sub(1).max(1);
    match asked {
        None => Ok(most),
        Some(n) if (1..=most).contains(&n) => Ok(n),
        Some(n) => {
            Err(Failure::usage(format!("--stride {n}: of a context of {context} tokens, 1 to {most} can be new")))
        }
    }
}

fn tell_windows(sequences: &[Vec<u32>], context: usize, stride: usize) {
    let long = sequences.iter().filter(|s| s.len() > context).count();
    if long > 0 {
        let all = sequences.len();
        eprintln!(
            "context of {context}: {long} of {all} texts are longer, and are read in windows of which {stride} tokens \
             are new (--stride)"
        );
    }
}

/// The windows of a sequence, and from where on their tokens are new: each begins `stride` tokens after the one before.
/// With all but one new, they are those of training; fewer give every token more to be predicted from.
fn windows(len: usize, context: usize, stride: usize) -> Vec<(Range<usize>, usize)> {
    let starts = (0..len).step_by(stride);
    let mut windows = Vec::new();
    let mut told = 1; // nothing predicts the first token
    for start in starts {
        let end = len.min(start + context);
        if told < end {
            windows.push((start..end, told));
        }
        told = end;
        if end == len {
            break;
        }
    }
    windows
}

/// log π of every token of each sequence but the first. [T − 1] each, or nothing for one token or none.
fn logprobs(net: &Transformer, weights: &Weights, sequences: &[Vec<u32>], stride: usize) -> Result<Vec<Vec<f32>>> {
    let cut = |s: &Vec<u32>| windows(s.len(), net.config.context, stride);
    let windows: Vec<Vec<(Range<usize>, usize)>> = sequences.iter().map(cut).collect();
    let pieces = sequences.iter().zip(&windows);
    let pieces: Vec<Vec<u32>> =
        pieces.flat_map(|(s, windows)| windows.iter().map(|(range, _)| s[range.clone()].to_vec())).collect();
    let mut read = model::score::logprobs(net, weights, &pieces, 1.0, BUDGET)?.into_iter();
    let mut all = Vec::with_capacity(sequences.len());
    for (row, windows) in windows.iter().enumerate() {
        let mut logp = Vec::new();
        for (range, from) in windows {
            logp.extend_from_slice(&read.next().expect("one a window")[from - range.start - 1..]);
        }
        if let Some(at) = logp.iter().position(|x| !x.is_finite()) {
            let what = format!("the log-probability of token {} of text {}", at + 2, row + 1);
            return Err(Failure::from(ModelError::NotFinite { what }));
        }
        all.push(logp);
    }
    Ok(all)
}

/// `{"logprobs": [null, …]}`: the first token has nothing before it.
fn line(sequence: &[u32], logp: &[f32]) -> Value {
    let first = sequence.first().map(|_| Value::Null);
    json!({ "logprobs": first.into_iter().chain(logp.iter().map(|v| json!(v))).collect::<Vec<_>>() })
}

/// exp of the mean negative log-probability of all scored tokens.
fn perplexity(logp: &[Vec<f32>]) -> Option<f64> {
    let (sum, n) = logp.iter().flatten().fold((0.0, 0), |(sum, n), &x| (sum + f64::from(x), n + 1));
    (n > 0).then(|| (-sum / n as f64).exp())
}

fn read_ids(file: &Path, vocab: usize, context: usize) -> Result<Vec<Vec<u32>>> {
    let text =
        rlhf_core::data::read_text(file).map_err(|e| Failure::data(format!("cannot read {}: {e}", file.display())))?;
    let read = |(i, line): (usize, &str)| {
        let place = || format!("{}:{}", file.display(), i + 1);
        let ids: Vec<u32> = serde_json::from_str(line).map_err(|e| {
            Failure::data(format!("{}: expected one JSON array of token ids, such as [1, 403, 407]: {e}", place()))
        })?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Failure::data(format!("{}: token id {id} is not below the vocabulary of {vocab}", place())));
        }
        if ids.len() > context {
            return Err(Failure::data(format!("{}: {} tokens, but the model reads {context}", place(), ids.len())));
        }
        Ok(ids)
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::windows;

    #[test]
    fn every_token_but_the_first_is_told_once() {
        for len in 0..40 {
            for context in 2..12 {
                for stride in 1..context {
                    let windows = windows(len, context, stride);
                    let told: Vec<usize> = windows.iter().flat_map(|(range, from)| *from..range.end).collect();
                    assert_eq!(told, (1..len).collect::<Vec<_>>());
                    let given =
                        |(range, from): &(std::ops::Range<usize>, usize)| range.len() <= context && from > &range.start;
                    assert!(windows.iter().all(given), "something stands before each, within the context");
                }
            }
        }
    }

    #[test]
    fn with_all_but_one_new_they_are_those_of_training() {
        let tokens: Vec<u32> = (0..50).collect();
        let ours = windows(50, 8, 7).into_iter().map(|(range, _)| tokens[range].to_vec());
        let trained = rlhf_core::data::windows(&tokens, 8);
        assert_eq!(ours.collect::<Vec<_>>(), trained.into_iter().map(|e| e.tokens).collect::<Vec<_>>());
    }
}
