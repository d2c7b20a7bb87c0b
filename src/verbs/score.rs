//! `rlhf score`: the log-probability of every token given those before it.

use crate::cli::Common;
use crate::error::{Failure, Result};
use crate::loading;
use crate::rows;
use clap::Args;
use model::HeadKind;
use rlhf_core::data::Row;
use rlhf_core::lm;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf score --model DIR --data texts.jsonl
  rlhf score --model DIR --ids-file ids.jsonl      one JSON array of ids a line; out, a line each: {\"logprobs\": [null, -1.23, …]}")]
pub struct ScoreArgs {
    /// A model: a directory, a .gguf file, or org/name on the hub
    #[arg(long)]
    model: PathBuf,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::cli::precision, value_name = "f32|bf16")]
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
}

pub fn run(args: &ScoreArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(&args.model, HeadKind::Lm, &device)?;
    let config = opened.loaded.config();
    let mut sequences = match &args.ids_file {
        Some(file) => read_ids(file, config.vocab, config.context)?,
        None => {
            let mut codec = opened.codec()?;
            codec.chat = args.chat;
            let encode = |row: &Row| codec.sequences_of(row).map_err(rows::data_failure);
            let read = rows::load(&args.data)?.iter().map(encode).collect::<Result<Vec<_>>>()?;
            if let Some(report) = codec.cut_report() {
                eprintln!("{report}");
            }
            read.into_iter().flatten().map(|sequence| sequence.tokens).collect()
        }
    };
    sequences.iter_mut().for_each(|s| s.truncate(config.context));
    let long: Vec<Vec<u32>> = sequences.iter().filter(|s| s.len() > 1).cloned().collect();
    let params = opened.loaded.params.clone().multiply_in(args.precision);
    let mut logp = lm::logprobs(&opened.loaded.transformer, &params, &long, 4096).into_iter();
    let lines: Vec<Value> = sequences.iter().map(|s| line(s, if s.len() > 1 { logp.next() } else { None })).collect();
    if common.json && args.ids_file.is_none() {
        println!("{}", json!({ "rows": lines, "perplexity": perplexity(&lines) }));
    } else {
        lines.iter().for_each(|l| println!("{l}"));
    }
    Ok(())
}

/// `{"logprobs": [null, …]}`: the first token has nothing before it.
fn line(sequence: &[u32], logp: Option<Vec<f32>>) -> Value {
    let first = sequence.first().map(|_| Value::Null);
    let rest = logp.unwrap_or_default().into_iter().map(|v| json!(v));
    json!({ "logprobs": first.into_iter().chain(rest).collect::<Vec<_>>() })
}

/// exp of the mean negative log-probability of all scored tokens.
fn perplexity(lines: &[Value]) -> Option<f64> {
    let scored: Vec<f64> =
        lines.iter().flat_map(|l| l["logprobs"].as_array().unwrap()).filter_map(Value::as_f64).collect();
    (!scored.is_empty()).then(|| (-scored.iter().sum::<f64>() / scored.len() as f64).exp())
}

fn read_ids(file: &Path, vocab: usize, context: usize) -> Result<Vec<Vec<u32>>> {
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::data(format!("cannot read {}: {e}", file.display())))?;
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
