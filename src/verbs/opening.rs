//! What the verbs of one stage share: the folder that they write, new or gone on with, and how they end.

use super::options::Options;
use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::error::{library_failure, train_failure};
use crate::folder::inputs::{Inputs, must_agree};
use crate::folder::write_environment as environment_of;
use crate::folder::{self, Lock, nothing_to_resume};
use crate::hub;
use crate::range::{TOKENS, count};
use crate::reporter::Reporter;
use crate::rows;
use crate::runlog::RunLog;
use crate::stop;
use crate::training::loading::{self, Opened};
use crate::training::memory::{self, Need, Plan};
use crate::training::{Model, Setup, card, drop_checkpoints};
use clap::{ArgMatches, Args};
use kernels::{Device, Rng};
use model::{BaseModels, HeadKind, lora};
use rlhf_core::data::{Codec, Example};
use rlhf_core::train::{Run, TrainError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

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
    /// Go on from the last checkpoint in --out; what is not given is as its recipe.toml says
    #[arg(long)]
    pub resume: bool,
    /// With --resume: go on though keys, data, model or machine are not those that the run was started with
    #[arg(long, requires = "resume")]
    pub force: bool,
}

/// Of the stages that read rows.
#[derive(Args, Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rows {
    /// Longer rows are cut to so many tokens, and counted; 0 = what the model holds
    #[arg(long, default_value_t = 0, value_parser = count(0, TOKENS))]
    pub context: usize,
    /// Strings of rows are turns: the prompt is what a user says, the answer the assistant's; the chat template writes
    /// them
    #[arg(long)]
    pub chat: bool,
}

/// What every stage has once its flags are read.
pub struct Stage {
    pub name: &'static str,
    pub out: PathBuf,
    pub data: Vec<PathBuf>,
    pub options: Options,
    pub device: Device,
    pub rng: Rng,
    /// The command that goes on with it.
    again: String,
    stop: Arc<AtomicBool>,
    resume: bool,
    force: bool,
    lock: Option<Lock>,
}

/// The same once there is something to do: its folder is there, and what happens is reported.
pub struct Started {
    pub stage: Stage,
    reporter: Reporter,
    start: Instant,
}

impl Stage {
    /// None: the stage in the folder is finished.
    pub fn open(
        name: &'static str,
        files: &Files,
        flags: &ArgMatches,
        common: &Common,
        known: &[&str],
    ) -> Result<Option<Stage>> {
        let stop = stop::on_signal();
        let mut options = Options::read(name, files.config.as_deref(), &files.set, flags, known)?;
        let out =
            options.path("out", files.out.as_ref()).ok_or_else(|| needs(name, "--out DIR, the folder to write"))?;
        let lock = match files.resume {
            true => Some(go_on(&out, name)?),
            false => check_new(&out).map(|()| None)?,
        };
        if files.resume && is_finished(&out, common)? {
            return Ok(None);
        }
        if files.resume {
            options.go_on(&out, name)?;
        }
        let data = options.paths("data", &files.data);
        if data.is_empty() {
            return Err(needs(name, "--data FILE, what to learn from"));
        }
        let seed = options.seed(common.seed)?;
        let device = common.open_device()?;
        let again = common.again(&["rlhf", name, "--resume"], &out);
        let (rng, resume, force) = (Rng::new(seed).stream(name), files.resume, files.force);
        Ok(Some(Stage { name, out, data, options, device, rng, again, stop, resume, force, lock }))
    }

    /// Makes the folder, or sees that what goes on is what was started. Called when everything that can be wrong with
    /// the input has been found right, and before anything is changed.
    pub fn start(mut self, common: &Common) -> Result<Started> {
        let mut inputs = Inputs::on(&self.device);
        inputs.say("stage", self.name);
        let inputs = self.options.inputs(inputs)?;
        let told = match self.resume {
            true => must_agree(&self.out, self.differences(&inputs)?, self.force)?,
            false => None,
        };
        let before = stop::check(&self.stop, "reading, before the first step");
        before.map_err(|e| if self.resume { e.going_on(&self.again) } else { e })?;
        if !self.resume {
            std::fs::create_dir_all(&self.out).map_err(|e| Failure::write(&self.out, e))?;
            self.lock = Some(Lock::of(&self.out)?);
            check_new(&self.out)?;
        }
        if !self.resume || told.is_some() {
            environment_of(&self.out, &self.device.name(), common.threads())?;
            inputs.save(&self.out)?;
            self.options.save(&self.out)?;
        }
        let reporter = Reporter::new(RunLog::open(&self.out)?, common.progress(), common.verbose, self.stop.clone());
        told.iter().for_each(|what| reporter.say(what));
        if self.resume && !self.out.join("checkpoints").exists() {
            reporter.say(&format!("no checkpoint in {} yet: from the first step", self.out.display()));
        }
        reporter.begin(self.name);
        Ok(Started { stage: self, reporter, start: Instant::now() })
    }

    fn differences(&self, inputs: &Inputs) -> Result<Vec<String>> {
        let of_inputs = match Inputs::read(&self.out)? {
            Some(before) => inputs.differences(&before),
            None => vec!["inputs.json is not there, which says what it was made with".into()],
        };
        Ok([self.options.changed(), of_inputs].concat())
    }

    /// `head`: the one that the model must have, if not any.
    pub fn model(
        &mut self,
        files: &Files,
        head: Option<HeadKind>,
        how: &Setup,
        bases: &mut BaseModels,
    ) -> Result<Option<(Model, Codec)>> {
        let Some(dir) = self.options.path("model", files.model.as_ref()) else { return Ok(None) };
        let tokenizer = self.options.path("tokenizer", files.tokenizer.as_ref());
        let (model, opened) = self.load(&dir, tokenizer.as_deref(), head, how, bases)?;
        let codec = opened.codec()?;
        Ok(Some((model, codec)))
    }

    pub fn required_model(
        &mut self,
        files: &Files,
        head: Option<HeadKind>,
        how: &Setup,
        bases: &mut BaseModels,
    ) -> Result<(Model, Codec)> {
        let found = self.model(files, head, how, bases)?;
        let (model, mut codec) = found.ok_or_else(|| needs(self.name, "--model DIR, the model to start from"))?;
        let Rows { context, chat } = self.options.section()?;
        codec.chat = chat;
        if context > 0 {
            codec.context = loading::shorter(codec.context, context)?;
        }
        Ok((model, codec))
    }

    /// A model that will be trained, once its size is known to fit the machine.
    pub fn load(
        &self,
        dir: &Path,
        tokenizer: Option<&Path>,
        head: Option<HeadKind>,
        how: &Setup,
        bases: &mut BaseModels,
    ) -> Result<(Model, Opened)> {
        let path = hub::find(dir)?;
        memory::check_files(&path)?;
        let config = model::read_config(&path).map_err(library_failure)?;
        let plan = Plan::of(config, how)?;
        let plan = if lora::is_adapter(&path) { plan.adapter() } else { plan };
        memory::check(&plan.weights_only(), &self.device)?;
        let Model { net, params } = how.load(&path, self.rng, &self.device, bases)?;
        let loaded = model::Model { net: net.clone(), params: params.clone() };
        let head = head.unwrap_or(loaded.head());
        Ok((Model { net, params }, loading::read(path, tokenizer, head, loaded)?))
    }

    pub fn windows(&self, codec: &Codec, files: &[PathBuf], key: &str) -> Result<Vec<Example>> {
        if files.is_empty() {
            return Err(needs(self.name, &format!("--text FILE, the pretraining text for --{key}")));
        }
        Ok(codec.windows(&rows::texts(files)?, self.rng.stream("windows")))
    }
}

impl Started {
    pub fn training(&self, save_every: usize) -> Run {
        self.reporter.training(self.stage.name, &self.stage.out, save_every)
    }

    /// What came of the loop; the log's error where it could not be written, which ends the loop.
    pub fn train<T>(&self, result: std::result::Result<T, TrainError>) -> Result<T> {
        match self.reporter.failure() {
            Some(failure) => Err(failure),
            None => result.map_err(train_failure).map_err(|e| e.going_on(&self.stage.again)),
        }
    }

    /// Saves the model, marks it finished, and only then lets its checkpoints go.
    pub fn finish(&self, model: &Model, codec: &Codec) -> Result {
        let out = &self.stage.out;
        model.save(out, codec)?;
        folder::mark_done(out, self.start.elapsed().as_secs_f64(), self.reporter.steps())?;
        drop_checkpoints(out)?;
        self.reporter.say(&format!("{} written to {}", self.stage.name, out.display()));
        for hint in card::hints(&model.net, codec) {
            self.reporter.say(&hint);
        }
        Ok(())
    }

    /// Says what memory the stage will take at most, and refuses what the machine does not have.
    pub fn fits(&self, need: &Need) -> Result {
        self.reporter.say(&need.to_string());
        memory::check(need, &self.stage.device)
    }

    /// Says what of the data did not fit into the context, or is not used; that is no progress, so -q leaves it.
    pub fn tell_cuts(&self, codec: &Codec) {
        if let Some(report) = codec.cut_report() {
            eprintln!("{report}");
        }
    }
}

impl Failure {
    /// Of a run that was stopped: how to go on, as a line of its own.
    pub fn going_on(self, again: &str) -> Failure {
        match self.kind {
            Kind::Stopped => Failure::new(Kind::Stopped, format!("{}\ngo on with: {again}", self.message)),
            _ => self,
        }
    }
}

pub fn needs(stage: &str, what: &str) -> Failure {
    Failure::usage(format!("rlhf {stage} needs {what}. See rlhf {stage} --help."))
}

fn holds_a_model(out: &Path) -> bool {
    out.join("config.json").exists() || lora::is_adapter(out)
}

/// A folder that is new, or has nothing in it but what a failed start left.
fn check_new(out: &Path) -> Result {
    let left = ["recipe.toml", "environment.json", "inputs.json", "metrics.jsonl", folder::LOCK];
    let harmless =
        |name: &str| left.contains(&name) || name.starts_with("events.out.tfevents.") || name.ends_with(".tmp");
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    let used = entries.map(|e| e.file_name()).any(|name| !harmless(&name.to_string_lossy()));
    let (is, hint) = match (used, holds_a_model(out)) {
        (false, _) => return Ok(()),
        (_, true) => ("holds a model", "choose another folder with --out, or go on with --resume if it is unfinished"),
        (_, false) => ("is not empty", "go on with what is in it by --resume, or choose another folder with --out"),
    };
    Err(Failure::usage(format!("{} {is}; {hint}", out.display())))
}

/// A folder in which this program started something, locked.
fn go_on(out: &Path, stage: &str) -> Result<Lock> {
    if !out.join("recipe.toml").exists() {
        return Err(nothing_to_resume(out));
    }
    let of = Inputs::read(out)?.and_then(|inputs| inputs.said("stage").map(String::from));
    if let Some(of) = of.filter(|of| of != stage) {
        let out = out.display();
        return Err(Failure::usage(format!("{out} is of rlhf {of}; go on with it by rlhf {of} --resume --out {out}")));
    }
    Lock::of(out)
}

/// Says that it is, and removes what a kill left between the end and the clean-up. A model without a marker was saved
/// half, or by a version that set none.
fn is_finished(out: &Path, common: &Common) -> Result<bool> {
    if folder::done(out).is_some() {
        drop_checkpoints(out)?;
        common.progress().say(&format!("{} is finished already: its model is there", out.display()));
        return Ok(true);
    }
    if holds_a_model(out) && !out.join("inputs.json").exists() && !out.join("checkpoints").exists() {
        return Err(Failure::usage(format!(
            "{} holds a finished model; choose another folder with --out",
            out.display()
        )));
    }
    Ok(false)
}
