//! Where steps are told: the log and the terminal.

use crate::error::{Failure, Result};
use crate::progress::Progress;
use crate::runlog::RunLog;
use crate::stop;
use rlhf_core::train::{Run, Step};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    steps: usize,
    /// The log could not be written: the run stops, and says so.
    failure: Option<Failure>,
}

impl Reporter {
    pub fn new(log: RunLog, progress: Progress, verbose: bool, stop: Arc<AtomicBool>) -> Reporter {
        let shared = Shared { log, progress, verbose, steps: 0, failure: None };
        Reporter { shared: Rc::new(RefCell::new(shared)), stop }
    }

    pub fn say(&self, line: &str) {
        self.shared.borrow_mut().progress.say(line);
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
        let note = note(&step.metrics, shared.verbose);
        shared.progress.step(step.step, step.total, &note);
        shared.steps = step.step;
        if let Err(failure) = shared.log.step(stage, step.step, step.total, &step.metrics) {
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
            ..Run::quiet()
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
