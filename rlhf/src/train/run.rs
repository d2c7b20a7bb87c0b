//! How a loop talks to the world: steps, warnings, checkpoints, the wish to stop.

use super::{Alone, Comm, State, TrainError};
use crate::metrics::Watch;
use model::checkpoint;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How a loop talks to the world: where it saves, whom it tells, when it must stop.
pub struct Run {
    /// checkpoints go to `dir`/checkpoints/step-000123; none are written without it
    pub dir: Option<PathBuf>,
    /// go on from the newest intact checkpoint in `dir`, if there is one
    pub resume: bool,
    /// steps (PPO: iterations) between checkpoints; 0 saves only when stopped
    pub save_every: usize,
    /// called after every step
    pub on_step: Box<dyn FnMut(&Step)>,
    /// what people should know: a schedule that does not fit the run, a damaged checkpoint, a figure that is not healthy
    pub tell: Box<dyn Fn(&str)>,
    /// set from outside: finish the step, save, and return [`TrainError::Stopped`]
    pub stop: Arc<AtomicBool>,
    /// who trains together
    pub comm: Arc<dyn Comm>,
    /// says when a figure stays where it should not be
    pub watch: Watch,
}

/// What one step has to say.
pub struct Step {
    /// from 1 to `total`
    pub step: usize,
    /// how many there are
    pub total: usize,
    /// names from `metrics::METRICS`
    pub metrics: Vec<(&'static str, f64)>,
}

impl Run {
    /// A run that saves nothing and tells nobody.
    pub fn quiet() -> Run {
        let (on_step, tell) = (Box::new(|_: &Step| ()), Box::new(|_: &str| ()));
        Run {
            dir: None,
            resume: false,
            save_every: 0,
            on_step,
            tell,
            stop: Arc::default(),
            comm: Arc::new(Alone),
            watch: Watch::default(),
        }
    }

    /// Goes back to the newest intact checkpoint, if resuming was asked for and there is one.
    pub fn restore(&self, mut state: State) -> Result<(), TrainError> {
        let Some(dir) = self.checkpoints().filter(|_| self.resume) else { return Ok(()) };
        match checkpoint::latest(&dir)? {
            Some(saved) => {
                saved.damaged.iter().for_each(|why| (self.tell)(&format!("passed over a damaged checkpoint: {why}")));
                state.load(&saved)
            }
            None => Ok(()),
        }
    }

    /// After each step: tell, save when it is time, and stop when asked to (having saved). What is saved, and what the
    /// loop returns after its last step, was looked at: `loss` is of the numbers after their update, on what they
    /// learned from. A step that was left out says nothing of the numbers, so a save that falls on it is left out too.
    pub fn after_step(
        &mut self,
        total: usize,
        metrics: Vec<(&'static str, f64)>,
        state: State,
        loss: impl Fn(&State) -> f64,
    ) -> Result<(), TrainError> {
        let step = state.progress.step;
        let warnings: Vec<String> = metrics.iter().filter_map(|&(name, value)| self.watch.see(name, value)).collect();
        (self.on_step)(&Step { step, total, metrics });
        warnings.iter().for_each(|warning| (self.tell)(warning));
        let (stop, last) = (self.comm.total(self.stop.load(Ordering::Relaxed) as u8 as f64) > 0.0, step >= total);
        let due = self.save_every > 0 && step.is_multiple_of(self.save_every);
        if !(due || stop || last) {
            return Ok(());
        }
        match state.fault(|now| self.comm.total(loss(now))) {
            Some(_) if state.progress.skipped_in_a_row > 0 && !stop && !last => return Ok(()),
            Some(what) => return Err(TrainError::Diverged { step, what }),
            None => {}
        }
        if let Some(dir) = self.checkpoints().filter(|_| (due || stop) && self.comm.rank() == 0) {
            state.save(&dir)?;
        }
        if stop && !last { Err(TrainError::Stopped { step }) } else { Ok(()) }
    }

    /// Says what of a schedule cannot be meant: `steps` in all, `epochs` over the data, `warmup` steps.
    pub(crate) fn tell_schedule(&self, steps: usize, epochs: f64, warmup: usize) {
        if warmup >= steps {
            let s = if steps == 1 { "" } else { "s" };
            (self.tell)(&format!(
                "warmup = {warmup}, but there are {steps} step{s} in all: the learning rate never reaches its peak"
            ));
        }
        if (steps as f64) < epochs {
            let most = "a batch holds more than all rows: some are several times in one step. A smaller batch makes more steps";
            (self.tell)(&format!("{steps} steps for {epochs} epochs: {most}"));
        }
    }

    fn checkpoints(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join("checkpoints"))
    }
}
