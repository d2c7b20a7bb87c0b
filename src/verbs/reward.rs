//! `rlhf reward`: the reward of every completion; on preference data the accuracy with its interval.

use super::ModelArg;
use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Common;
use crate::terminal::json_to_stdout;
use crate::training::loading;
use crate::training::memory::{self, Reader};
use clap::Args;
use model::{HeadKind, ModelError};
use rlhf_core::data::{Ranking, Row};
use rlhf_core::methods::rm;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf reward runs/mini/rm --data answers.jsonl
  rlhf reward runs/mini/rm --data pairs.jsonl --json")]
pub struct RewardArgs {
    #[command(flatten)]
    model: ModelArg,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::session::precision, value_name = "f32|bf16")]
    precision: kernels::Precision,
    /// Demonstrations, pairs or rankings
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Strings of rows are turns of user and assistant, which the chat template writes
    #[arg(long)]
    chat: bool,
}

/// Tokens that go through the model at a time.
const BUDGET: usize = 8192;

pub fn run(args: &RewardArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(args.model.path(), HeadKind::Score, &device)?;
    let mut processor = opened.processor()?;
    processor.chat = args.chat;
    let params = &opened.loaded.params.clone().multiply_in(args.precision);
    let net = &opened.loaded.net;
    let rows = rows::scorable(&args.data)?;
    let read = processor.rankings(&rows)?;
    if let Some(report) = processor.cut_report() {
        eprintln!("{report}");
    }
    let sequences = rm::sequences(&read);
    model::score::check(net, &sequences)?;
    let longest = sequences.iter().map(Vec::len).max().unwrap_or(0);
    let tokens = sequences.iter().map(Vec::len).sum::<usize>().min(BUDGET).max(longest);
    memory::check(&Reader::of(&opened.path, &device)?.reading(tokens, HeadKind::Score), &device)?;
    let rewards = rm::score(net, params, &sequences, BUDGET);
    if let Some(at) = rewards.iter().position(|reward| !reward.is_finite()) {
        let what = format!("the reward of answer {}", at + 1);
        return Err(Failure::from(ModelError::NotFinite { what }));
    }
    let mut each = rewards.iter();
    let mut line = |(row, read): (&Row, &Ranking)| -> Result<Value> {
        let Row::Ranked { prompt, .. } = row else { unreachable!("scorable rows are rankings") };
        let prompt = processor.template.prompt_text(prompt)?;
        let rewards: Vec<f32> = each.by_ref().take(read.completions.len()).copied().collect();
        Ok(json!({"prompt": prompt, "rewards": rewards}))
    };
    let lines = rows.iter().zip(&read).map(&mut line).collect::<Result<Vec<Value>>>()?;
    let accuracy = Some(rm::accuracy_of(&read, &rewards)).filter(|a| a.n > 0);
    let interval = accuracy.as_ref().map(|a| json!({"rate": a.rate, "low": a.low, "high": a.high, "n": a.n}));
    if common.json {
        println!("{}", json_to_stdout(&json!({"rows": lines, "accuracy": interval})));
        return Ok(());
    }
    lines.iter().for_each(|l| println!("{}", json_to_stdout(l)));
    if let Some(a) = accuracy {
        let [rate, low, high] = [a.rate, a.low, a.high].map(|x| 100.0 * x);
        println!("accuracy {rate:.1} % ({low:.1}–{high:.1}) of {} comparisons; chance is 50 %", a.n);
    }
    Ok(())
}
