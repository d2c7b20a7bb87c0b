//! `rlhf pretrain|sft|rm|ppo`: one stage on files, as its row of the table says. The keys of its section are the flags.

use super::options::Options;
use crate::config::keys;
use crate::config::sections::{Shape, Tokenizer};
use crate::error::{Failure, Kind, Result};
use crate::folder::inputs::{Inputs, must_agree};
use crate::folder::{self, Lock, nothing_to_resume, write_environment};
use crate::reporter::Reporter;
use crate::runlog::RunLog;
use crate::session::Common;
use crate::stages::{Host, Stage, Verb};
use crate::training::loading::{self, Opened};
use crate::training::memory::{self, Need, Plan};
use crate::training::{Setup, card, config_of, drop_checkpoints, fresh, save, save_beside, tokenizer};
use crate::{hub, rows, stop};
use clap::{ArgMatches, Args, Command};
use kernels::{Device, Rng};
use model::{BaseModels, HeadKind, Model, lora};
use rlhf_core::data::{Example, Processor, Ranking, Template};
use rlhf_core::rollout::Episode;
use rlhf_core::train::Run;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use toml::{Table, Value};

/// Files in and out, of every stage.
#[derive(Args, Debug)]
#[group(skip)]
struct Files {
    /// The model to start from: a directory, a .gguf file, or org/name on the hub
    #[arg(short, long)]
    model: Option<PathBuf>,
    /// A tokenizer file, for a model directory that has none
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// Data files (.jsonl, .json, .txt, each also .gz; .parquet) or folders with train and valid files in them;
    /// FILE=0.5 takes half of its rows, FILE=2 each twice
    #[arg(long, num_args = 1..)]
    data: Vec<PathBuf>,
    /// The folder to write: the model, its checkpoints and its log
    #[arg(short, long)]
    out: Option<PathBuf>,
    /// Keys from a TOML file: flat, or the section of this stage in a recipe
    #[arg(long)]
    config: Option<PathBuf>,
    /// Override a key, such as --set lr=1e-4; the same as --lr 1e-4
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on from the last checkpoint in --out; what is not given is as its recipe.toml says
    #[arg(long)]
    resume: bool,
    /// With --resume: go on though keys, data, model or machine are not those that the run was started with
    #[arg(long, requires = "resume")]
    force: bool,
}

/// The verb's flags: files, then the keys of its sections.
pub fn command(verb: &Verb) -> Command {
    let command = (verb.files)(Files::augment_args(Command::new(verb.name)));
    let command = verb.sections.iter().fold(command, |command, section| (section.args)(command));
    command.about(verb.about).long_about(None).after_help(verb.examples)
}

/// Does the stage, unless the one in the folder is finished.
pub fn run(stage: &'static Stage, verb: &'static Verb, flags: &ArgMatches, common: &Common) -> Result {
    let Some(mut host) = OfVerb::open(stage, verb, flags, common)? else { return Ok(()) };
    let done = (stage.body)(&mut host);
    done.map_err(|e| if host.running.is_some() || host.resume { e.going_on(&host.again) } else { e })
}

/// A stage whose flags are read.
struct OfVerb<'a> {
    verb: &'static Verb,
    common: &'a Common,
    options: Options,
    keys: Table,
    out: PathBuf,
    data: Vec<PathBuf>,
    device: Device,
    rng: Rng,
    processor: Option<Processor>,
    /// The command that goes on with it.
    again: String,
    stop: Arc<AtomicBool>,
    resume: bool,
    force: bool,
    lock: Option<Lock>,
    running: Option<Running>,
}

/// The same once there is something to do: its folder is there, and what happens is reported.
struct Running {
    reporter: Reporter,
    start: Instant,
}

impl<'a> OfVerb<'a> {
    /// None: the stage in the folder is finished.
    fn open(
        stage: &'static Stage,
        verb: &'static Verb,
        flags: &ArgMatches,
        common: &'a Common,
    ) -> Result<Option<OfVerb<'a>>> {
        let stop = stop::on_signal();
        let (resume, force) = (flags.get_flag("resume"), flags.get_flag("force"));
        let mut options = Options::read(command(verb), verb.name, flags)?;
        let out = options.path("out").ok_or_else(|| needs(verb, "--out DIR, the folder to write"))?;
        let lock = match resume {
            true => Some(go_on(&out, verb.name)?),
            false => check_new(&out).map(|()| None)?,
        };
        if resume && is_finished(&out, common)? {
            return Ok(None);
        }
        if resume {
            options.go_on(&out, verb.name)?;
        }
        let data = options.paths("data");
        if data.is_empty() {
            return Err(needs(verb, "--data FILE, what to learn from"));
        }
        let rng = Rng::new(options.seed(common.seed)?).stream(verb.name);
        let device = common.open_device()?;
        let again = common.again(&["rlhf", verb.name, "--resume"], &out);
        // Of a stage that can make its model, only the method's keys are used when there is one.
        let made = verb.fresh && options.path("model").is_some();
        let sections = if made { &verb.sections[..1] } else { verb.sections };
        let mut keys = Table::new();
        for section in sections {
            keys.extend(options.section(section)?);
        }
        let named = |key: &str| format!("--{} {}", key.replace('_', "-"), keys[key]);
        (stage.check)(&keys, &named).map_err(Failure::usage)?;
        let (processor, running) = (None, None);
        let host = OfVerb {
            verb,
            common,
            options,
            keys,
            out,
            data,
            device,
            rng,
            processor,
            again,
            stop,
            resume,
            force,
            lock,
            running,
        };
        Ok(Some(host))
    }

    fn differences(&self, inputs: &Inputs) -> Result<Vec<String>> {
        let of_inputs = match Inputs::read(&self.out)? {
            Some(before) => inputs.differences(&before),
            None => vec!["inputs.json is not there, which says what it was made with".into()],
        };
        Ok([self.options.changed(), of_inputs].concat())
    }

    /// A model that will be trained, once its size is known to fit the machine.
    fn load(
        &self,
        dir: &Path,
        tokenizer: Option<&Path>,
        head: Option<HeadKind>,
        setup: &Setup,
        bases: &mut BaseModels,
    ) -> Result<(Model, Opened)> {
        let path = hub::find(dir)?;
        memory::check_files(&path)?;
        let config = model::read_config(&path)?;
        let plan = Plan::of(config, setup)?;
        let plan = if lora::is_adapter(&path) { plan.adapter() } else { plan };
        memory::check(&plan.weights_only(), &self.device)?;
        let model = setup.load(&path, self.rng, &self.device, bases)?;
        let head = head.unwrap_or(model.head());
        Ok((model.clone(), loading::read(path, tokenizer, head, model)?))
    }

    /// A model with fresh numbers, and a tokenizer learned from the data.
    fn fresh(&mut self, setup: &Setup) -> Result<(Model, Processor)> {
        let (shape, section): (Shape, Tokenizer) = (keys::read("", &self.keys)?, keys::read("", &self.keys)?);
        shape.check().map_err(Failure::usage)?;
        let plan = Plan::of(config_of(&shape, section.vocab)?, setup)?;
        memory::check(&plan.weights_only(), &self.device)?;
        let texts = rows::texts(&self.data)?;
        let processor = tokenizer::own(tokenizer::learn(&texts, &section), shape.context, Template::dialogue())?;
        let fresh = fresh(&shape, &processor, self.rng.stream("init"), &self.device);
        Ok((setup.apply(fresh.net, fresh.params), processor))
    }

    fn reporter(&self) -> &Reporter {
        &self.running.as_ref().expect("begin() came before").reporter
    }
}

impl Host for OfVerb<'_> {
    fn keys(&self) -> &Table {
        &self.keys
    }

    fn rng(&self) -> Rng {
        self.rng
    }

    fn processor(&self) -> &Processor {
        self.processor.as_ref().expect("start() came before")
    }

    fn start(&mut self, setup: &Setup, bases: &mut BaseModels, head: Option<HeadKind>) -> Result<Model> {
        let tokenizer = self.options.path("tokenizer");
        let (model, mut processor) = match self.options.path("model") {
            Some(dir) => {
                let (model, opened) = self.load(&dir, tokenizer.as_deref(), head, setup, bases)?;
                (model, opened.processor()?)
            }
            None if self.verb.fresh => self.fresh(setup)?,
            None => return Err(needs(self.verb, "--model DIR, the model to start from")),
        };
        processor.chat = self.keys.get("chat").and_then(Value::as_bool).unwrap_or(false);
        let context = self.keys.get("context").and_then(Value::as_integer).unwrap_or(0) as usize;
        if context > 0 {
            processor.context = loading::shorter(processor.context, context)?;
        }
        self.processor = Some(processor);
        Ok(model)
    }

    fn reward_model(&mut self, setup: &Setup, bases: &mut BaseModels, policy: &Model) -> Result<Model> {
        let missing = || needs(self.verb, "--reward DIR, a reward model made by rlhf rm");
        let dir = self.options.path("reward").ok_or_else(missing)?;
        let (judge, opened) = self.load(&dir, None, Some(HeadKind::Score), setup, bases)?;
        loading::check_rows(&dir, judge.net.config.vocab, policy.net.config.vocab)?;
        loading::check_tokens(&opened.path, self.processor())?;
        let processor = self.processor.as_mut().expect("start() came before");
        processor.context = processor.context.min(judge.net.config.context); // it reads prompt and completion
        Ok(judge)
    }

    fn text(&mut self, key: &str) -> Result<Vec<Example>> {
        let files = if self.verb.fresh { self.data.clone() } else { self.options.paths("text") };
        if files.is_empty() {
            return Err(needs(self.verb, &format!("--text FILE, the pretraining text for {key}")));
        }
        let blocks = self.processor().windows(&rows::texts(&files)?, self.rng.stream("windows"));
        match blocks.is_empty() && self.verb.fresh {
            true => Err(Failure::data(format!("{}: no text in it", files[0].display()))),
            false => Ok(blocks),
        }
    }

    fn demonstrations(&mut self) -> Result<Vec<Example>> {
        let own = command(self.verb).get_arguments().any(|arg| arg.get_id() == "demonstrations");
        let files = if own { self.options.paths("demonstrations") } else { self.data.clone() };
        if files.is_empty() { Ok(Vec::new()) } else { rows::demonstrations(&files, self.processor()) }
    }

    fn rankings(&mut self) -> Result<[Vec<Ranking>; 2]> {
        let holdout = self.keys.get("holdout").and_then(Value::as_float).unwrap_or(0.0);
        let (train, heldout) = rows::split(&self.data, holdout, self.rng.stream("holdout"))?;
        let train = self.processor().comparisons(&train)?;
        let heldout = if heldout.is_empty() { Vec::new() } else { self.processor().comparisons(&heldout)? };
        Ok([train, heldout])
    }

    fn prompts(&mut self, room: usize) -> Result<Vec<Vec<u32>>> {
        self.processor().prompts(&rows::load(&self.data)?, room).map_err(Failure::from)
    }

    fn watch(&self, _: &[Episode]) -> Vec<(&'static str, Vec<f64>)> {
        Vec::new()
    }

    fn begin(&mut self) -> Result {
        let mut inputs = Inputs::on(&self.device);
        inputs.say("stage", self.verb.name);
        let inputs = self.options.inputs(inputs)?;
        let told = match self.resume {
            true => must_agree(&self.out, self.differences(&inputs)?, self.force)?,
            false => None,
        };
        stop::check(&self.stop, "reading, before the first step")?;
        if !self.resume {
            std::fs::create_dir_all(&self.out).map_err(|e| Failure::write(&self.out, e))?;
            self.lock = Some(Lock::of(&self.out)?);
            check_new(&self.out)?;
        }
        if !self.resume || told.is_some() {
            write_environment(&self.out, &self.device.name(), self.common.threads())?;
            inputs.save(&self.out)?;
            self.options.save(&self.out)?;
        }
        let progress = self.common.progress();
        let reporter = Reporter::new(RunLog::open(&self.out)?, progress, self.common.verbose, self.stop.clone());
        told.iter().for_each(|what| reporter.say(what));
        if self.resume && !self.out.join("checkpoints").exists() {
            reporter.say(&format!("no checkpoint in {} yet: from the first step", self.out.display()));
        }
        reporter.begin(self.verb.name);
        self.running = Some(Running { reporter, start: Instant::now() });
        Ok(())
    }

    /// What was cut is no progress, so -q leaves it.
    fn fits(&self, need: &Need) -> Result {
        if let Some(report) = self.processor().cut_report() {
            eprintln!("{report}");
        }
        self.reporter().say(&need.to_string());
        memory::check(need, &self.device)
    }

    fn training(&self, save_every: usize) -> Run {
        self.reporter().training(self.verb.name, &self.out, save_every)
    }

    fn log_failure(&self) -> Option<Failure> {
        self.reporter().failure()
    }

    fn save_beside(&self, name: &str, model: &Model) -> Result {
        save_beside(model, &self.out, name, self.processor())
    }

    /// The checkpoints go only when the model is there and marked finished.
    fn finish(&mut self, model: &Model) -> Result {
        let running = self.running.as_ref().expect("begin() came before");
        save(model, &self.out, self.processor())?;
        folder::mark_done(&self.out, running.start.elapsed().as_secs_f64(), running.reporter.steps())?;
        drop_checkpoints(&self.out)?;
        running.reporter.say(&format!("{} written to {}", self.verb.name, self.out.display()));
        card::hints(&model.net, self.processor()).iter().for_each(|hint| running.reporter.say(hint));
        Ok(())
    }

    fn print(&self, line: &str, json: serde_json::Value) {
        if self.common.json { println!("{json}") } else { println!("{line}") }
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

fn needs(verb: &Verb, what: &str) -> Failure {
    Failure::usage(format!("rlhf {} needs {what}. See rlhf {0} --help.", verb.name))
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
