//! Running one stage: skip it when it is done, time it, report its steps, save it, mark it.

use crate::config::Recipe;
use crate::error::{Failure, Result};
use crate::folder::{self, Done};
use crate::hub;
use crate::progress::{Mode, Progress, clock};
use crate::reporter::Reporter;
use crate::results::StageResult;
use crate::runlog::RunLog;
use crate::training::drop_checkpoints;
use crate::training::memory::Need;
use kernels::{Device, Rng};
use rlhf_core::data::Processor;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What a run needs from the command line.
pub struct Request<'a> {
    pub recipe: &'a Recipe,
    pub dir: &'a Path,
    pub resume: bool,
    /// Go on though recipe, data or machine are others.
    pub force: bool,
    pub device: Device,
    /// What the largest stage takes at most.
    pub memory: Need,
    pub threads: usize,
    pub quiet: bool,
    pub verbose: bool,
    pub stop: Arc<AtomicBool>,
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
        let there = request.recipe.there().map(|(name, path)| Ok((name, hub::find(&path)?)));
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

    /// A stage's own random numbers: of the seed and its name, so that they do not depend on what ran before.
    pub fn rng(&self, stage: &str) -> Rng {
        Rng::new(self.recipe.seed).stream(stage)
    }

    /// Says what of the data did not fit into the context.
    pub fn tell_cuts(&self, processor: &Processor, what: &str) {
        if let Some(report) = processor.cut_report() {
            self.reporter.say(&format!("{what}: {report}"));
        }
    }

    /// Does `work`, which fills the stage's folder and returns the number of its steps (`None`: as many as were
    /// reported), unless that was done before.
    pub fn stage(&mut self, name: &str, work: impl FnOnce(&Pipeline, &Path) -> Result<Option<usize>>) -> Result {
        let dir = self.stage_dir(name);
        let done = match folder::done(&dir) {
            Some(done) => {
                drop_checkpoints(&dir)?; // left where a kill fell between the marker and this
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
        drop_checkpoints(dir)?;
        kernels::release_pool();
        self.reporter.say(&format!("{name:<12} done in {}", clock(seconds)));
        Ok(done)
    }
}
