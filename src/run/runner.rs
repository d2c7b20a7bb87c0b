//! Running one stage: skip it when it is done, time it, report its steps, save it, mark it.

use super::folder::{self, Done};
use super::{Request, models};
use crate::error::{Failure, Kind, Result};
use crate::hub;
use crate::progress::{Mode, Progress, clock};
use crate::recipe::Recipe;
use crate::recipe::sections::given;
use crate::results::StageResult;
use crate::runlog::RunLog;
use crate::stop;
use kernels::Device;
use rlhf_core::train::{Run, Step, TrainError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Where steps are told: the log and the terminal. Shared with the loops' callbacks.
#[derive(Clone)]
pub struct Reporter {
    shared: Rc<RefCell<Shared>>,
    stop: Arc<AtomicBool>,
}

struct Shared {
    log: RunLog,
    progress: Progress,
    verbose: bool,
    /// Figures that somebody other than the loop adds to its next step, such as gold.
    extra: Vec<(&'static str, f64)>,
    steps: usize,
    /// The log could not be written: the run stops, and says so.
    failure: Option<Failure>,
}

impl Reporter {
    pub fn new(log: RunLog, progress: Progress, verbose: bool, stop: Arc<AtomicBool>) -> Reporter {
        let shared = Shared { log, progress, verbose, extra: Vec::new(), steps: 0, failure: None };
        Reporter { shared: Rc::new(RefCell::new(shared)), stop }
    }

    pub fn say(&self, line: &str) {
        self.shared.borrow_mut().progress.say(line);
    }

    /// A figure for the next step that is reported.
    pub fn add(&self, name: &'static str, value: f64) {
        self.shared.borrow_mut().extra.push((name, value));
    }

    /// Progress of work that is not a training loop.
    pub fn tick(&self, done: usize, total: usize, note: &str) {
        self.shared.borrow_mut().progress.step(done, total, note);
    }

    pub fn sample(&self, sample: &serde_json::Value) -> Result {
        self.shared.borrow_mut().log.sample(sample)
    }

    pub fn begin(&self, stage: &str) {
        let mut shared = self.shared.borrow_mut();
        shared.progress.begin(stage);
        shared.steps = 0;
    }

    fn step(&self, stage: &str, step: &Step) {
        let mut shared = self.shared.borrow_mut();
        let mut figures = step.metrics.clone();
        figures.append(&mut shared.extra);
        let note = note(&figures, shared.verbose);
        shared.progress.step(step.step, step.total, &note);
        shared.steps = step.step;
        if let Err(failure) = shared.log.step(stage, step.step, step.total, &figures) {
            shared.failure.get_or_insert(failure);
            self.stop.store(true, Ordering::Relaxed);
        }
    }

    /// How a training loop of this stage talks to the world. Resuming is always asked for: in a new folder there
    /// is nothing to resume from.
    pub fn training(&self, stage: &str, dir: &Path, save_every: usize) -> Run {
        let (reporter, name) = (self.clone(), stage.to_string());
        let (teller, task) = (self.clone(), stage.to_string());
        Run {
            dir: Some(dir.to_path_buf()),
            resume: true,
            save_every,
            on_step: Box::new(move |step| reporter.step(&name, step)),
            tell: Box::new(move |what| teller.say(&format!("{task}: {what}"))),
            stop: self.stop.clone(),
        }
    }

    /// Between two pieces of work that is not a training loop.
    pub fn check_stop(&self, doing: &str) -> Result {
        stop::check(&self.stop, doing)
    }

    pub fn steps(&self) -> usize {
        self.shared.borrow().steps
    }

    /// What stopped the loop, when it was the log.
    pub fn failure(&self) -> Option<Failure> {
        self.shared.borrow_mut().failure.take()
    }
}

/// The few figures beside the bar; all of them with `-v`.
fn note(figures: &[(&str, f64)], verbose: bool) -> String {
    const SHORT: [&str; 6] = ["loss", "accuracy", "objective/scores", "objective/kl", "gold", "val/length"];
    let shown = figures.iter().filter(|(name, _)| verbose || SHORT.contains(name));
    let text = shown.map(|(name, value)| format!("{} {}", name.rsplit('/').next().unwrap_or(name), brief(*value)));
    text.collect::<Vec<_>>().join("  ")
}

fn brief(value: f64) -> String {
    if value != 0.0 && value.abs() < 0.01 { format!("{value:.1e}") } else { format!("{value:.3}") }
}

/// One run of a recipe.
pub struct Pipeline<'a> {
    pub recipe: &'a Recipe,
    pub dir: PathBuf,
    pub device: Device,
    pub reporter: Reporter,
    pub stages: BTreeMap<String, StageResult>,
    /// Models that were there already, in place of stages.
    there: BTreeMap<String, PathBuf>,
}

impl<'a> Pipeline<'a> {
    pub fn new(request: &Request<'a>) -> Result<Pipeline<'a>> {
        let log = RunLog::open(request.dir)?;
        let bases = request.recipe.model.iter().map(|(size, shape)| (format!("{size}.base"), &shape.from));
        let paths = bases.chain([("rm".into(), &request.recipe.rm.model)]);
        let there = paths.filter_map(|(name, path)| given(path).map(|path| Ok((name, hub::find(path)?))));
        let there = there.collect::<Result<_>>()?;
        let progress = Progress::new(Mode::of_stderr(request.quiet));
        Ok(Pipeline {
            recipe: request.recipe,
            dir: request.dir.to_path_buf(),
            device: request.device.clone(),
            reporter: Reporter::new(log, progress, request.verbose, request.stop.clone()),
            stages: BTreeMap::new(),
            there,
        })
    }

    pub fn stage_dir(&self, name: &str) -> PathBuf {
        self.there.get(name).cloned().unwrap_or_else(|| folder::stage(&self.dir, name))
    }

    /// Does `work`, which fills the stage's folder and returns the number of its steps (`None`: as many as were
    /// reported), unless that was done before.
    pub fn stage(&mut self, name: &str, work: impl FnOnce(&Pipeline, &Path) -> Result<Option<usize>>) -> Result {
        let dir = self.stage_dir(name);
        let done = match folder::done(&dir) {
            Some(done) => {
                models::drop_checkpoints(&dir)?; // left where a kill fell between the marker and this
                done
            }
            None => self.do_stage(name, &dir, work)?,
        };
        self.stages.insert(name.into(), StageResult { seconds: done.seconds, steps: done.steps });
        Ok(())
    }

    fn do_stage(
        &self,
        name: &str,
        dir: &Path,
        work: impl FnOnce(&Pipeline, &Path) -> Result<Option<usize>>,
    ) -> Result<Done> {
        self.reporter.check_stop(&format!("before {name}"))?;
        if dir.join("DONE.json").exists() {
            self.reporter.say(&format!("{name}: something of it is gone, so it is made again"));
        }
        std::fs::create_dir_all(dir).map_err(|e| Failure::write(dir, e))?;
        self.reporter.begin(name);
        let start = Instant::now();
        let worked = work(self, dir);
        let steps = match self.reporter.failure() {
            Some(failure) => return Err(failure),
            None => worked.map_err(|e| e.context(format!("stage {name}")))?,
        };
        let seconds = start.elapsed().as_secs_f64();
        let done = folder::mark_done(dir, seconds, steps.unwrap_or(self.reporter.steps()))?;
        models::drop_checkpoints(dir)?;
        kernels::trim();
        self.reporter.say(&format!("{name:<12} done in {}", clock(seconds)));
        Ok(done)
    }
}

/// A training loop's error as an exit code and one paragraph.
pub fn train_failure(error: TrainError) -> Failure {
    let kind = match &error {
        TrainError::Diverged { .. } | TrainError::SelfCheck(_) => Kind::Diverged,
        TrainError::Stopped { .. } => Kind::Stopped,
        TrainError::Data(_) => Kind::Data,
        TrainError::Config(_) => Kind::Usage,
        TrainError::Checkpoint(_) => Kind::Model,
    };
    Failure::new(kind, crate::error::chain(&error))
}
