//! `rlhf reward`: the reward of every completion; on preference data the accuracy with its interval.

use super::loading;
use crate::cli::Common;
use crate::error::Result;
use crate::rows;
use crate::run::Codec;
use crate::template::Template;
use clap::Args;
use model::HeadKind;
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
    /// Demonstrations, pairs or rankings
    #[arg(long, num_args = 1.., required = true)]
    data: Vec<PathBuf>,
}

pub fn run(args: &RewardArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(&args.model, HeadKind::Score, &device)?;
    let codec = Codec::new(opened.tokenizer(&args.model)?.clone(), opened.loaded.config().context, Template::Dialogue);
    let (net, params) = (&opened.loaded.transformer, &opened.loaded.params);
    let rankings = rows::scorable(&args.data)?;
    let read: Vec<_> = rankings.iter().map(|r| codec.ranking(r)).collect();
    let sequences: Vec<Vec<u32>> =
        read.iter().flat_map(|r| r.completions.iter().map(|c| [&r.prompt[..], c].concat())).collect();
    let mut rewards = rm::score(net, params, &sequences, 8192).into_iter();
    let lines: Vec<Value> = rankings
        .iter()
        .map(|r| json!({"prompt": r.prompt, "rewards": rewards.by_ref().take(r.completions.len()).collect::<Vec<f32>>()}))
        .collect();
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
