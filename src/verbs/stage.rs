//! `rlhf pretrain|sft|rm|ppo`: one stage on files. The keys of a recipe's section are the flags, and flags win.

use super::options::{self, Options};
use crate::cli::Common;
use crate::error::{Failure, Result};
use crate::hub;
use crate::loading::{self, Opened};
use crate::memory::{self, Need, Plan};
use crate::recipe::sections::{Ppo, Pretrain, Rm, Sft, Shape, Tokenizer};
use crate::rows::{self, data_failure};
use crate::run::{
    Model, Reporter, Tuning, card, configs, drop_checkpoints, environment_of, library_failure, text, train_failure,
};
use crate::runlog::RunLog;
use crate::stop;
use clap::{ArgMatches, Args};
use kernels::{Device, Rng};
use model::{Bases, HeadKind, Loaded, lora};
use rlhf_core::data::{Codec, Example, Ranking, Template};
use rlhf_core::rollout::Episode;
use rlhf_core::train::Run;
use rlhf_core::{ppo as ppo_loop, pretrain as pretrain_loop, rm as rm_loop, sft as sft_loop};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files in and out, of every stage.
#[derive(Args, Debug, Clone)]
pub struct Files {
    /// The model to start from: a directory, a .gguf file, or org/name on the hub
    #[arg(long)]
    pub model: Option<PathBuf>,
    /// A tokenizer file, for a model directory that has none
    #[arg(long)]
    pub tokenizer: Option<PathBuf>,
    /// Data files (.jsonl, .json, .txt, each also .gz; .parquet) or folders with train and valid files in them;
    /// FILE=0.5 takes half of its rows, FILE=2 each twice
    #[arg(long, num_args = 1..)]
    pub data: Vec<PathBuf>,
    /// The folder to write: the model, its checkpoints and its log
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Keys from a TOML file: flat, or the section of this stage in a recipe
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Override a key, such as --set lr=1e-4; the same as --lr 1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Go on from the last checkpoint in the folder
    #[arg(long)]
    pub resume: bool,
}

/// Of the stages that read rows.
#[derive(Args, Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rows {
    /// Longer rows are cut to so many tokens, and counted; 0 = what the model holds
    #[arg(long, default_value_t = 0)]
    context: usize,
}

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

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf rm --model sft --data rankings.jsonl pairs.jsonl --out rm
  rlhf rm --model sft --data pairs.jsonl --out rm --holdout 0.2 --lr 1e-4")]
pub struct RmArgs {
    #[command(flatten)]
    files: Files,
    /// Demonstrations that shall score 0 on average
    #[arg(long, num_args = 1..)]
    demonstrations: Vec<PathBuf>,
    /// Share of the prompts that is held out to measure the accuracy
    #[arg(long, default_value_t = 0.1)]
    holdout: f64,
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

/// What every stage has once its flags are read.
struct Stage {
    name: &'static str,
    out: PathBuf,
    data: Vec<PathBuf>,
    options: Options,
    device: Device,
    rng: Rng,
}

/// The same once there is something to do: its folder is there, and what happens is reported.
struct Started {
    stage: Stage,
    reporter: Reporter,
}

impl Stage {
    fn open(name: &'static str, files: &Files, flags: &ArgMatches, common: &Common, known: &[&str]) -> Result<Stage> {
        let mut options = Options::read(name, files.config.as_deref(), &files.set, flags, known)?;
        let out =
            options.path("out", files.out.as_ref()).ok_or_else(|| needs(name, "--out DIR, the folder to write"))?;
        let data = options.paths("data", &files.data);
        if data.is_empty() {
            return Err(needs(name, "--data FILE, what to learn from"));
        }
        check_folder(&out, files.resume)?;
        let device = common.open_device()?;
        let seed = common.seed.or_else(|| options.seed()).unwrap_or(1);
        Ok(Stage { name, out, data, options, device, rng: Rng::new(seed).stream(name) })
    }

    /// Makes the folder. Called when everything that can be wrong with the input has been found right.
    fn start(self, common: &Common) -> Result<Started> {
        std::fs::create_dir_all(&self.out).map_err(|e| Failure::write(&self.out, e))?;
        environment_of(&self.out, &self.device.name(), common.threads())?;
        self.options.save(&self.out)?;
        let reporter = Reporter::new(RunLog::open(&self.out)?, common.progress(), common.verbose, stop::on_ctrl_c());
        reporter.begin(self.name);
        Ok(Started { stage: self, reporter })
    }

    fn model(&mut self, files: &Files, how: &Tuning, bases: &mut Bases) -> Result<Option<(Model, Codec)>> {
        let Some(dir) = self.options.path("model", files.model.as_ref()) else { return Ok(None) };
        let (model, opened) = self.load(&dir, files.tokenizer.as_deref(), HeadKind::Lm, how, bases)?;
        let codec = opened.codec()?;
        Ok(Some((model, codec)))
    }

    fn required_model(&mut self, files: &Files, how: &Tuning, bases: &mut Bases) -> Result<(Model, Codec)> {
        let found = self.model(files, how, bases)?;
        let (model, mut codec) = found.ok_or_else(|| needs(self.name, "--model DIR, the model to start from"))?;
        let Rows { context } = self.options.section()?;
        if context > 0 {
            codec.context = loading::shorter(codec.context, context)?;
        }
        Ok((model, codec))
    }

    /// A model that will be trained, once its size is known to fit the machine.
    fn load(
        &self,
        dir: &Path,
        tokenizer: Option<&Path>,
        head: HeadKind,
        how: &Tuning,
        bases: &mut Bases,
    ) -> Result<(Model, Opened)> {
        let path = hub::find(dir)?;
        let config = model::read_config(&path).map_err(library_failure)?;
        let plan = Plan::of(config, how)?;
        let plan = if lora::is_adapter(&path) { plan.adapter() } else { plan };
        memory::check(&plan.weights_only(), &self.device)?;
        let Model { net, params } = how.load(&path, self.rng, &self.device, bases)?;
        let loaded = Loaded { transformer: net.clone(), params: params.clone() };
        Ok((Model { net, params }, loading::read(path, tokenizer, head, loaded)?))
    }

    fn windows(&self, codec: &Codec, files: &[PathBuf]) -> Result<Vec<Example>> {
        Ok(codec.windows(&rows::texts(files)?, self.rng.stream("windows")))
    }
}

impl Started {
    fn training(&self, save_every: usize) -> Run {
        self.reporter.training(self.stage.name, &self.stage.out, save_every)
    }

    /// The last error of the loop, or the log's, which stopped it.
    fn train<T>(&self, result: std::result::Result<T, rlhf_core::train::TrainError>) -> Result<T> {
        result.map_err(|e| self.reporter.failure().unwrap_or_else(|| train_failure(e)))
    }

    fn finish(&self, model: &Model, codec: &Codec) -> Result {
        model.save(&self.stage.out, codec)?;
        drop_checkpoints(&self.stage.out)?;
        self.reporter.say(&format!("{} written to {}", self.stage.name, self.stage.out.display()));
        if let Some(hint) = card::hint(&model.net) {
            self.reporter.say(&hint);
        }
        Ok(())
    }

    /// Says what memory the stage will take at most, and refuses what the machine does not have.
    fn fits(&self, need: &Need) -> Result {
        self.reporter.say(&need.to_string());
        memory::check(need, &self.stage.device)
    }

    /// Says what of the data did not fit into the context.
    fn tell_cuts(&self, codec: &Codec) {
        if let Some(report) = codec.cut_report() {
            self.reporter.say(&report);
        }
    }
}

fn needs(stage: &str, what: &str) -> Failure {
    Failure::usage(format!("rlhf {stage} needs {what}. See rlhf {stage} --help."))
}

fn lengths(examples: &[Example]) -> impl Iterator<Item = usize> {
    examples.iter().map(|e| e.tokens.len())
}

/// The most tokens that go through a model at a time: of one item at least, of a step at most.
fn micro_batch(budget: usize, batch: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let longest = lengths.max().unwrap_or(0);
    budget.min(batch * longest).max(longest)
}

/// A folder that is new, or has nothing in it but what a failed start left; with `--resume`, one with checkpoints.
fn check_folder(out: &Path, resume: bool) -> Result {
    let harmless = |name: &str| {
        ["recipe.toml", "environment.json", "metrics.jsonl"].contains(&name) || name.starts_with("events.out.tfevents.")
    };
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let used = entries.map(|e| e.file_name()).any(|name| !harmless(&name.to_string_lossy()));
    if used && !resume {
        let hint = "go on with what is in it by --resume, or choose another folder with --out";
        return Err(Failure::usage(format!("{} is not empty; {hint}", out.display())));
    }
    if out.join("config.json").exists() || lora::is_adapter(out) {
        return Err(Failure::usage(format!(
            "{} holds a finished model; choose another folder with --out",
            out.display()
        )));
    }
    Ok(())
}

pub fn pretrain(args: &PretrainArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Pretrain>(), options::keys::<Shape>(), options::keys::<Tokenizer>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut stage = Stage::open("pretrain", &args.files, flags, common, &known)?;
    let section: Pretrain = stage.options.section()?;
    let how = Tuning::from(&section);
    let texts = rows::texts(&stage.data)?;
    let (start, codec) = match stage.model(&args.files, &how, &mut Bases::default())? {
        Some(found) => found,
        None => {
            let (shape, tokenizer): (Shape, Tokenizer) = (stage.options.section()?, stage.options.section()?);
            shape.check().map_err(Failure::usage)?;
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
    let config = configs::pretrain(&section, "", windows.len());
    let result =
        pretrain_loop::train(&start.net, start.params, &windows, &config, rng, &mut stage.training(section.save_every));
    let params = stage.train(result)?;
    stage.finish(&Model { params, net: start.net }, &codec)
}

pub fn sft(args: &SftArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Sft>(), options::keys::<Rows>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut stage = Stage::open("sft", &args.files, flags, common, &known)?;
    let section: Sft = stage.options.section()?;
    let how = Tuning::from(&section);
    let (start, codec) = stage.required_model(&args.files, &how, &mut Bases::default())?;
    let demonstrations = rows::demonstrations(&stage.data, &codec)?;
    let text = stage.options.paths("text", &args.text);
    let windows = if section.pretrain_mix > 0.0 { stage.windows(&codec, &text)? } else { Vec::new() };
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
    let known = [options::keys::<Rm>(), options::keys::<Rows>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut stage = Stage::open("rm", &args.files, flags, common, &known)?;
    let section: Rm = stage.options.section()?;
    let how = Tuning::from(&section);
    let (start, codec) = stage.required_model(&args.files, &how, &mut Bases::default())?;
    let (train, heldout) = rows::split(&stage.data, args.holdout, stage.rng.stream("holdout"))?;
    let train = codec.rankings(&train).map_err(data_failure)?;
    let heldout = if heldout.is_empty() { Vec::new() } else { codec.rankings(&heldout).map_err(data_failure)? };
    let demonstrations = stage.options.paths("demonstrations", &args.demonstrations);
    let shown = match demonstrations.is_empty() {
        true => Vec::new(),
        false => rows::demonstrations(&demonstrations, &codec)?,
    };
    let (rng, stage) = (stage.rng, stage.start(common)?);
    let start = start.as_score(rng.stream("head"));
    stage.tell_cuts(&codec);
    let answers = |r: &Ranking| r.completions.iter().map(|c| r.prompt.len() + c.len()).sum::<usize>();
    let tokens = micro_batch(section.token_budget, section.batch, train.iter().map(answers));
    stage.fits(&Plan::of_model(&start, &how).scoring(tokens))?;
    let mut run = stage.training(section.save_every);
    let result = rm_loop::train(&start.net, start.params, &train, &configs::rm(&section), rng, &mut run);
    let mut params = stage.train(result)?;
    if !shown.is_empty() {
        rm_loop::center(&start.net, &mut params, &shown, section.token_budget);
    }
    if !heldout.is_empty() {
        let accuracy = rm_loop::accuracy(&start.net, &params, &heldout, section.token_budget);
        print_accuracy(&accuracy, common);
    }
    stage.finish(&Model { params, net: start.net }, &codec)
}

fn print_accuracy(a: &rlhf_core::stats::Interval, common: &Common) {
    if common.json {
        println!("{}", serde_json::json!({"accuracy": {"rate": a.rate, "low": a.low, "high": a.high, "n": a.n}}));
    } else {
        let [rate, low, high] = [a.rate, a.low, a.high].map(|x| 100.0 * x);
        println!("accuracy on {} held-out comparisons: {rate:.1} % ({low:.1}–{high:.1}); chance is 50 %", a.n);
    }
}

pub fn ppo(args: &PpoArgs, flags: &ArgMatches, common: &Common) -> Result {
    let known = [options::keys::<Ppo>(), options::keys::<Rows>()].concat();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut stage = Stage::open("ppo", &args.files, flags, common, &known)?;
    let section: Ppo = stage.options.section()?;
    let (how, mut bases) = (Tuning::from(&section), Bases::default());
    let (start, codec) = stage.required_model(&args.files, &how, &mut bases)?;
    let reward = stage.options.path("reward", args.reward.as_ref());
    let reward = reward.ok_or_else(|| needs("ppo", "--reward DIR, a reward model made by rlhf rm"))?;
    let judge = stage.load(&reward, None, HeadKind::Score, &how, &mut bases)?.0;
    if judge.net.config.vocab != codec.tokenizer.vocab_size() {
        let (ours, theirs) = (codec.tokenizer.vocab_size(), judge.net.config.vocab);
        let hint = "policy and reward model must share one tokenizer";
        return Err(Failure::usage(format!(
            "{}: its vocabulary has {theirs} tokens, the policy's {ours}; {hint}",
            reward.display()
        )));
    }
    let text = stage.options.paths("text", &args.text);
    let windows = if section.ptx_coef > 0.0 { stage.windows(&codec, &text)? } else { Vec::new() };
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
        rm_loop::score(&judge.net, &judge.params, &sequences, config.token_budget)
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
