//! `rlhf pretrain|sft|rm|ppo`: one stage on files. The keys of a recipe's section are the flags, and flags win.

use super::opening::{Files, Rows, Stage, needs};
use super::options;
use crate::cli::Common;
use crate::config::sections::{Ppo, Pretrain, Rm, Sft, Shape, Tokenizer, defaults};
use crate::error::data_failure;
use crate::error::{Failure, Result};
use crate::range::within;
use crate::rows;
use crate::training::loading;
use crate::training::memory::{self, Plan};
use crate::training::{Model, Setup, config_of, configs, tokenizer as text};
use clap::{ArgMatches, Args};
use model::{BaseModels, HeadKind};
use rlhf_core::data::{Example, Template};
use rlhf_core::methods::{ppo as ppo_loop, pretrain as pretrain_loop, rm as rm_loop, sft as sft_loop};
use rlhf_core::rollout::Episode;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf pretrain --data book.txt --out base --layers 4 --channels 128 --vocab 1024 --steps 500
  rlhf pretrain --model base --data more.txt --out more --steps 200 --lr 3e-4     goes on with a model")]
pub struct PretrainArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    options: Pretrain,
    #[command(flatten, next_help_heading = "A new model (without --model)")]
    shape: Shape,
    #[command(flatten)]
    tokenizer: Tokenizer,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf sft --model base --data demonstrations.jsonl --out sft --epochs 3 --lr 2e-4
  rlhf sft --model base --data demonstrations.jsonl --text book.txt --pretrain-mix 0.1 --out init --epochs 2")]
pub struct SftArgs {
    #[command(flatten)]
    files: Files,
    /// Pretraining text, for --pretrain-mix
    #[arg(long, num_args = 1..)]
    text: Vec<PathBuf>,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    options: Sft,
}

#[derive(Args, Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Split {
    /// Share of the prompts that is held out to measure the accuracy
    #[arg(long, default_value_t = 0.1, value_parser = within::<f64>(0.0, 0.9))]
    holdout: f64,
}

impl Default for Split {
    fn default() -> Split {
        defaults()
    }
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf rm --model sft --data rankings.jsonl pairs.jsonl --out rm
  rlhf rm --model sft --data pairs.jsonl --out rm --holdout 0.2 --lr 1e-4
  rlhf rm --model rm --data more-pairs.jsonl --out rm2          goes on with a reward model")]
pub struct RmArgs {
    #[command(flatten)]
    files: Files,
    /// Demonstrations that shall score 0 on average
    #[arg(long, num_args = 1..)]
    demonstrations: Vec<PathBuf>,
    #[command(flatten)]
    split: Split,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    options: Rm,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf ppo --model init --reward rm --data prompts.jsonl --out ppo
  rlhf ppo --model init --reward rm --data prompts.jsonl --text book.txt --ptx-coef 2 --out ppo_ptx")]
pub struct PpoArgs {
    #[command(flatten)]
    files: Files,
    /// The reward model; the value network starts as a copy of it
    #[arg(long)]
    reward: Option<PathBuf>,
    /// Pretraining text, for --ptx-coef
    #[arg(long, num_args = 1..)]
    text: Vec<PathBuf>,
    #[command(flatten)]
    rows: Rows,
    #[command(flatten)]
    options: Ppo,
}

fn lengths(examples: &[Example]) -> impl Iterator<Item = usize> {
    examples.iter().map(|e| e.tokens.len())
}

/// The most tokens that go through a model at a time: of one item at least, of a step at most.
fn micro_batch(budget: usize, batch: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let longest = lengths.max().unwrap_or(0);
    budget.min(batch.saturating_mul(longest)).max(longest)
}

pub fn pretrain(args: &PretrainArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Pretrain>(), options::keys::<Shape>(), options::keys::<Tokenizer>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(mut stage) = Stage::open("pretrain", &args.files, flags, common, &known)? else { return Ok(()) };
    let section: Pretrain = stage.options.section()?;
    let how = Setup::from(&section);
    let texts = rows::texts(&stage.data)?;
    let (start, codec) = match stage.model(&args.files, Some(HeadKind::Lm), &how, &mut BaseModels::default())? {
        Some(found) => found,
        None => {
            let (shape, tokenizer): (Shape, Tokenizer) = (stage.options.section()?, stage.options.section()?);
            shape.check().map_err(Failure::usage)?;
            let plan = Plan::of(config_of(&shape, tokenizer.vocab)?, &how)?;
            memory::check(&plan.weights_only(), &stage.device)?;
            let codec = text::own(text::learn(&texts, &tokenizer), shape.context, Template::dialogue())?;
            let fresh = Model::new(&shape, &codec, stage.rng.stream("init"), &stage.device);
            (how.apply(fresh.net, fresh.params), codec)
        }
    };
    let windows = codec.windows(&texts, stage.rng.stream("windows"));
    if windows.is_empty() {
        return Err(Failure::data(format!("{}: no text in it", stage.data[0].display())));
    }
    let plan = Plan::of_model(&start, &how);
    let (rng, stage) = (stage.rng, stage.start(common)?);
    stage.fits(&plan.training(micro_batch(section.token_budget, section.batch, lengths(&windows))))?;
    let config = configs::pretrain(&section, "");
    let result =
        pretrain_loop::train(&start.net, start.params, &windows, &config, rng, &mut stage.training(section.save_every));
    let params = stage.train(result)?;
    stage.finish(&Model { params, net: start.net }, &codec)
}

pub fn sft(args: &SftArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Sft>(), options::keys::<Rows>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(mut stage) = Stage::open("sft", &args.files, flags, common, &known)? else { return Ok(()) };
    let section: Sft = stage.options.section()?;
    let how = Setup::from(&section);
    let (start, codec) = stage.required_model(&args.files, Some(HeadKind::Lm), &how, &mut BaseModels::default())?;
    let demonstrations = rows::demonstrations(&stage.data, &codec)?;
    let text = stage.options.paths("text", &args.text);
    let windows = if section.pretrain_mix > 0.0 { stage.windows(&codec, &text, "pretrain-mix")? } else { Vec::new() };
    let (rng, stage) = (stage.rng, stage.start(common)?);
    stage.tell_cuts(&codec);
    let tokens = micro_batch(section.token_budget, section.batch, lengths(&demonstrations).chain(lengths(&windows)));
    stage.fits(&Plan::of_model(&start, &how).training(tokens))?;
    let config = configs::sft(&section, "");
    let mut run = stage.training(section.save_every);
    let result = sft_loop::train(&start.net, start.params, &demonstrations, &windows, &config, rng, &mut run);
    let params = stage.train(result)?;
    stage.finish(&Model { params, net: start.net }, &codec)
}

pub fn rm(args: &RmArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Rm>(), options::keys::<Rows>(), options::keys::<Split>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(mut stage) = Stage::open("rm", &args.files, flags, common, &known)? else { return Ok(()) };
    let section: Rm = stage.options.section()?;
    let how = Setup::from(&section);
    let (start, codec) = stage.required_model(&args.files, None, &how, &mut BaseModels::default())?;
    let Split { holdout } = stage.options.section()?;
    let (train, heldout) = rows::split(&stage.data, holdout, stage.rng.stream("holdout"))?;
    let train = codec.comparisons(&train).map_err(data_failure)?;
    let heldout = if heldout.is_empty() { Vec::new() } else { codec.comparisons(&heldout).map_err(data_failure)? };
    let demonstrations = stage.options.paths("demonstrations", &args.demonstrations);
    let shown = match demonstrations.is_empty() {
        true => Vec::new(),
        false => rows::demonstrations(&demonstrations, &codec)?,
    };
    let (rng, stage) = (stage.rng, stage.start(common)?);
    let start = start.as_score(rng.stream("head"), &codec); // a reward model keeps the head that it has
    stage.tell_cuts(&codec);
    stage.fits(&Plan::of_model(&start, &how).ranking(&train, &section))?;
    let mut run = stage.training(section.save_every);
    let result = rm_loop::train(&start.net, start.params, &train, &configs::rm(&section), rng, &mut run);
    let mut params = stage.train(result)?;
    if !shown.is_empty() {
        rm_loop::center(&start.net, &mut params, &shown, section.token_budget);
    }
    let model = Model { params, net: start.net };
    stage.finish(&model, &codec)?;
    if !heldout.is_empty() {
        let accuracy = rm_loop::accuracy(&model.net, &model.params, &heldout, section.token_budget);
        print_accuracy(&accuracy, heldout.len(), common);
    }
    Ok(())
}

/// Of held-out rankings that prefer nothing there is no accuracy.
fn print_accuracy(a: &rlhf_core::stats::Interval, rankings: usize, common: &Common) {
    let known = (a.n > 0).then(|| serde_json::json!({"rate": a.rate, "low": a.low, "high": a.high, "n": a.n}));
    if common.json {
        println!("{}", serde_json::json!({"accuracy": known}));
    } else if known.is_none() {
        println!("accuracy unknown: all {rankings} held-out rankings are ties");
    } else {
        let [rate, low, high] = [a.rate, a.low, a.high].map(|x| 100.0 * x);
        println!("accuracy on {} held-out comparisons: {rate:.1} % ({low:.1}–{high:.1}); chance is 50 %", a.n);
    }
}

pub fn ppo(args: &PpoArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Ppo>(), options::keys::<Rows>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let Some(mut stage) = Stage::open("ppo", &args.files, flags, common, &known)? else { return Ok(()) };
    let section: Ppo = stage.options.section()?;
    let (how, mut bases) = (Setup::from(&section), BaseModels::default());
    let (start, mut codec) = stage.required_model(&args.files, Some(HeadKind::Lm), &how, &mut bases)?;
    let reward = stage.options.path("reward", args.reward.as_ref());
    let reward = reward.ok_or_else(|| needs("ppo", "--reward DIR, a reward model made by rlhf rm"))?;
    let (judge, opened) = stage.load(&reward, None, Some(HeadKind::Score), &how, &mut bases)?;
    loading::check_rows(&reward, judge.net.config.vocab, start.net.config.vocab)?;
    loading::check_tokens(&opened.path, &codec)?;
    codec.context = codec.context.min(judge.net.config.context); // the judge reads prompt and answer
    let text = stage.options.paths("text", &args.text);
    let windows = if section.ptx_coef > 0.0 { stage.windows(&codec, &text, "ptx-coef")? } else { Vec::new() };
    let prompts = codec.prompts(&rows::load(&stage.data)?, section.max_new).map_err(data_failure)?;
    let (rng, stage) = (stage.rng, stage.start(common)?);
    stage.tell_cuts(&codec);
    let longest = section.max_new + prompts.iter().map(Vec::len).max().unwrap_or(0);
    let value = Plan::of_model(&judge, &how);
    let shared = Arc::ptr_eq(start.params.base(), judge.params.base());
    stage.fits(&Plan::of_model(&start, &how).ppo(&value, shared, &section, longest))?;
    let config = configs::ppo(&section, "", section.ptx_coef);
    let score = |episodes: &[Episode]| {
        let sequences: Vec<Vec<u32>> = episodes.iter().map(Episode::sequence).collect();
        rm_loop::score(&judge.net, &judge.params, &sequences, config.compute.token_budget)
    };
    let players = ppo_loop::Ppo {
        policy: &start.net,
        policy_params: start.params.clone(),
        reference: (&start.net, &start.params),
        value: &judge.net,
        value_params: judge.params.clone(),
        reward: &score,
        eos: &codec.ends,
    };
    let result = ppo_loop::train(players, &prompts, &windows, &config, rng, &mut stage.training(section.save_every));
    let outcome = stage.train(result)?;
    let value = stage.stage.out.join("value");
    std::fs::create_dir_all(&value).map_err(|e| Failure::write(&value, e))?;
    Model { net: judge.net.clone(), params: outcome.value }.save(&value, &codec)?;
    let params = if config.ema > 0.0 { outcome.ema } else { outcome.policy };
    stage.finish(&Model { params, net: start.net }, &codec)
}
