//! `rlhf reward`: the reward of every completion; on preference data the accuracy with its interval.

use crate::cli::Common;
use crate::error::Result;
use crate::loading;
use crate::rows;
use clap::Args;
use model::HeadKind;
use rlhf_core::data::{Ranking, Row};
use rlhf_core::rm;
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf reward --model runs/mini/rm --data answers.jsonl
  rlhf reward --model runs/mini/rm --data pairs.jsonl --json")]
pub struct RewardArgs {
    /// A reward model's directory
    #[arg(long)]
    model: PathBuf,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::cli::precision, value_name = "f32|bf16")]
    precision: kernels::Precision,
    /// Demonstrations, pairs or rankings
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
    /// Strings of rows are turns of user and assistant, which the chat template writes
    #[arg(long)]
    chat: bool,
}

pub fn run(args: &RewardArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(&args.model, HeadKind::Score, &device)?;
    let mut codec = opened.codec()?;
    codec.chat = args.chat;
    let params = &opened.loaded.params.clone().multiply_in(args.precision);
    let net = &opened.loaded.transformer;
    let rows = rows::scorable(&args.data)?;
    let read = codec.rankings(&rows).map_err(rows::data_failure)?;
    if let Some(report) = codec.cut_report() {
        eprintln!("{report}");
    }
    let sequences: Vec<Vec<u32>> =
        read.iter().flat_map(|r| r.completions.iter().map(|c| [&r.prompt[..], c].concat())).collect();
    let mut rewards = rm::score(net, params, &sequences, 8192).into_iter();
    let mut line = |(row, read): (&Row, &Ranking)| -> Result<Value> {
        let Row::Ranked { prompt, .. } = row else { unreachable!("scorable rows are rankings") };
        let prompt = codec.template.prompt_text(prompt).map_err(rows::data_failure)?;
        let rewards: Vec<f32> = rewards.by_ref().take(read.completions.len()).collect();
        Ok(json!({"prompt": prompt, "rewards": rewards}))
    };
    let lines = rows.iter().zip(&read).map(&mut line).collect::<Result<Vec<Value>>>()?;
    let compared = read.iter().any(|r| !rm::comparisons(&r.ranks, 0).is_empty());
    let accuracy = compared.then(|| rm::accuracy(net, params, &read, 8192));
    let interval = accuracy.as_ref().map(|a| json!({"rate": a.rate, "low": a.low, "high": a.high, "n": a.n}));
    if common.json {
        println!("{}", json!({"rows": lines, "accuracy": interval}));
        return Ok(());
    }
    lines.iter().for_each(|l| println!("{l}"));
    if let Some(a) = accuracy {
        let [rate, low, high] = [a.rate, a.low, a.high].map(|x| 100.0 * x);
        println!("accuracy {rate:.1} % ({low:.1}–{high:.1}) of {} comparisons; chance is 50 %", a.n);
    }
    Ok(())
}
