//! What all training loops share, as functions: a learner's step, what to do when a number is not finite, the order of
//! the data, reporting, checkpoints and resume. The loops themselves are in [`crate::methods`].
//!
//! The state of a loop is its learners and a [`Progress`]; everything random is a function of (rng, step). So a
//! checkpoint needs no generator state and no data cursor, and a resumed run is the uninterrupted one, bit for bit.

use crate::methods::groups::Optim;
use autograd::{AdamW, AdamWConfig, Grads, Params, Var, Weights};
use kernels::{Device, Rng, Tensor};
use model::{
    ModelError, Transformer,
    checkpoint::{self, Checkpoint},
};
use serde::{Deserialize, Serialize};
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
    pub on_step: Box<dyn FnMut(&Step)>,
    /// what people should know: a schedule that does not fit the run, a damaged checkpoint
    pub tell: Box<dyn Fn(&str)>,
    /// set from outside: finish the step, save, and return [`TrainError::Stopped`]
    pub stop: Arc<AtomicBool>,
}

/// What one step has to say.
pub struct Step {
    /// from 1 to `total`
    pub step: usize,
    pub total: usize,
    /// names from `metrics::METRICS`
    pub metrics: Vec<(&'static str, f64)>,
}

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(
        "training diverged at step {step}: {what}. Lower the learning rate, or clip the gradient lower; the last checkpoint is from before"
    )]
    Diverged { step: usize, what: String },
    #[error("stopped after step {step}")]
    Stopped { step: usize },
    #[error("{0}")]
    Data(String),
    /// a key of the configuration that makes no sense with these data
    #[error("{0}")]
    Config(String),
    /// sampler and trainer disagree: any further step would learn from wrong numbers
    #[error("{0}")]
    SelfCheck(String),
    #[error(transparent)]
    Checkpoint(ModelError),
}

impl From<ModelError> for TrainError {
    fn from(error: ModelError) -> TrainError {
        match error {
            ModelError::NotFinite { what } => TrainError::Diverged { step: 0, what: format!("{what} is not finite") },
            other => TrainError::Checkpoint(other),
        }
    }
}

impl TrainError {
    /// The same, known to have happened at `step`.
    pub(crate) fn at(self, step: usize) -> TrainError {
        match self {
            TrainError::Diverged { what, .. } => TrainError::Diverged { step, what },
            other => other,
        }
    }
}

/// How many of the newest checkpoints stay.
const KEEP: usize = 2;
/// Weights are of order 1. Far beyond, norms overflow and give 0, so that even the loss looks well.
const LARGEST: f64 = 1e6;
/// So many steps in a row may be left out before the run gives up.
const SKIPS_IN_A_ROW: u64 = 3;

/// How far a loop has come. Saved in every checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub step: usize,
    /// tokens read, prompts included
    pub tokens: u64,
    /// steps left out because something was not finite
    pub skipped: u64,
    skipped_in_a_row: u64,
}

impl Progress {
    /// Takes note of a step that was made (`Ok`) or left out. Three left out in a row: the run has diverged.
    pub fn count(&mut self, step: Result<(), String>) -> Result<(), TrainError> {
        let Err(what) = step else {
            self.skipped_in_a_row = 0;
            return Ok(());
        };
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if self.skipped_in_a_row < SKIPS_IN_A_ROW {
            return Ok(());
        }
        Err(TrainError::Diverged { step: self.step + 1, what: format!("{what}, {SKIPS_IN_A_ROW} steps in a row") })
    }
}

/// A network that learns: its numbers, where their gradient gathers, and the optimizer's memory.
pub struct Learner {
    pub params: Params,
    grads: Grads,
    adam: AdamW,
    clip: Option<f32>,
}

impl Learner {
    /// `clip` 0 leaves the gradient as it is.
    pub fn new(params: Params, config: AdamWConfig, clip: f32) -> Learner {
        let (grads, adam) = (params.grads(), AdamW::new(config, &params));
        Learner { params, grads, adam, clip: (clip > 0.0).then_some(clip) }
    }

    /// With the optimizer that a configuration asks for.
    pub(crate) fn of(params: Params, optim: &Optim) -> Learner {
        Learner::new(params, optim.adam(), optim.max_grad_norm as f32)
    }

    /// Adds the gradient of the loss [1] that `f` returns; micro-batches of one step come one after the other.
    /// The loss stays on its device: read it back with others, once a step.
    pub fn backprop<S>(&mut self, f: impl FnOnce(&Weights) -> (Var, S)) -> (Tensor, S) {
        self.params.backprop_some(&mut self.grads, |_| true, f)
    }

    /// One step of AdamW on what has gathered, and an empty gradient again. Returns the norm before clipping;
    /// a gradient that is not finite changes neither weights nor moments.
    pub fn step(&mut self, lr: f32) -> Result<f32, String> {
        self.step_and_read(lr, &[]).0
    }

    /// As `step`, and the sum of these losses, read back in the same wait for the device.
    pub fn step_and_read(&mut self, lr: f32, losses: &[Tensor]) -> (Result<f32, String>, f64) {
        let losses: Vec<&Tensor> = losses.iter().collect();
        let (norm, read) = self.adam.step_and_read(&mut self.params, &self.grads, lr, self.clip, &losses);
        self.grads.zero();
        (norm.map_err(|e| e.to_string()), read.concat().into_iter().map(f64::from).sum())
    }

    /// Forgets what has gathered.
    pub fn drop_gradient(&mut self) {
        self.grads.zero();
    }

    pub fn grads(&self) -> &Grads {
        &self.grads
    }

    pub fn device(&self) -> Device {
        self.params.device()
    }

    /// What a checkpoint keeps of it.
    fn tensors(&self, name: &str) -> [(String, Tensor); 3] {
        let (params, adam) = (&self.params, &self.adam);
        [("params", params.flat()), ("adam.m", &adam.m), ("adam.v", &adam.v)]
            .map(|(part, t)| (format!("{name}.{part}"), t.clone()))
    }
}

// ---- checkpoints ---------------------------------------------------------------------------------------------------

/// Everything a loop must remember, gathered for saving or handed back after loading.
pub struct State<'a> {
    pub progress: &'a mut Progress,
    /// networks by name, for example "policy" and "value"
    pub learners: Vec<(&'static str, &'a mut Learner)>,
    /// weights that do not learn but move, for example "ema"
    pub params: Vec<(&'static str, &'a mut Params)>,
    /// single numbers, for example "kl_coef"
    pub numbers: Vec<(&'static str, &'a mut f64)>,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    progress: Progress,
    adam_steps: Vec<u64>,
    /// the bits of each f64: JSON must not round them
    numbers: Vec<u64>,
}

impl<'a> State<'a> {
    /// Of a loop that trains one network.
    pub fn of(progress: &'a mut Progress, learner: &'a mut Learner) -> State<'a> {
        State { progress, learners: vec![("model", learner)], params: Vec::new(), numbers: Vec::new() }
    }

    fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut tensors: Vec<(String, Tensor)> = self.learners.iter().flat_map(|(name, l)| l.tensors(name)).collect();
        tensors.extend(self.params.iter().map(|(name, p)| (name.to_string(), p.flat().clone())));
        tensors
    }

    /// What is wrong with the numbers, if anything is: some are not finite, or what they compute is not.
    fn fault(&self, loss: impl Fn(&State) -> f64) -> Option<String> {
        let tensors = self.tensors();
        let counts: Vec<Tensor> = tensors.iter().map(|(_, t)| kernels::count_non_finite(t)).collect();
        let counts = kernels::read_all(&counts.iter().collect::<Vec<_>>()).concat();
        if let Some(((name, _), n)) = tensors.iter().zip(counts).find(|(_, n)| *n > 0.0) {
            return Some(format!("{n} numbers of {name} are NaN or infinite after the update"));
        }
        let weights = self.learners.iter().map(|(name, l)| (*name, &l.params));
        for (name, params) in weights.chain(self.params.iter().map(|(name, p)| (*name, &**p))) {
            let mean = f64::from(kernels::sum_squares(params.flat()).item()) / params.flat().len().max(1) as f64;
            if mean.is_nan() || mean.sqrt() > LARGEST {
                return Some(format!("the numbers of {name} have grown beyond {LARGEST:e} on average"));
            }
        }
        let loss = loss(self);
        (!loss.is_finite()).then(|| format!("after the update the loss is {loss}"))
    }

    fn save(&self, dir: &std::path::Path) -> Result<(), TrainError> {
        let meta = Meta {
            progress: self.progress.clone(),
            adam_steps: self.learners.iter().map(|(_, l)| l.adam.step).collect(),
            numbers: self.numbers.iter().map(|(_, n)| n.to_bits()).collect(),
        };
        let tensors = self.tensors();
        let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, t)| (name.as_str(), t)).collect();
        checkpoint::save(
            dir,
            self.progress.step as u64,
            &named,
            serde_json::to_value(meta).expect("plain numbers"),
            KEEP,
        )?;
        Ok(())
    }

    fn load(&mut self, saved: &Checkpoint) -> Result<(), TrainError> {
        let meta: Meta = serde_json::from_value(saved.meta.clone()).map_err(|e| {
            TrainError::Data(format!("checkpoint at step {}: its meta data is not this loop's ({e})", saved.step))
        })?;
        let fits = meta.adam_steps.len() == self.learners.len() && meta.numbers.len() == self.numbers.len();
        if !fits {
            return Err(TrainError::Data(format!(
                "the checkpoint at step {} comes from another kind of training",
                saved.step
            )));
        }
        for ((name, learner), adam_step) in self.learners.iter_mut().zip(meta.adam_steps) {
            let device = learner.device();
            set_flat(&mut learner.params, take(saved, &format!("{name}.params"), &device)?)?;
            learner.adam.m = take(saved, &format!("{name}.adam.m"), &device)?;
            learner.adam.v = take(saved, &format!("{name}.adam.v"), &device)?;
            learner.adam.step = adam_step;
        }
        for (name, params) in &mut self.params {
            let device = params.device();
            set_flat(params, take(saved, name, &device)?)?;
        }
        for ((_, number), bits) in self.numbers.iter_mut().zip(meta.numbers) {
            **number = f64::from_bits(bits);
        }
        *self.progress = meta.progress;
        Ok(())
    }
}

/// The tensor of that name, on `device`.
fn take(saved: &Checkpoint, name: &str, device: &Device) -> Result<Tensor, TrainError> {
    Ok(saved.tensor(name)?.to(device))
}

fn set_flat(params: &mut Params, flat: Tensor) -> Result<(), TrainError> {
    if flat.shape() != params.flat().shape() {
        let (have, want) = (flat.len(), params.flat().len());
        return Err(TrainError::Data(format!(
            "the checkpoint has {have} numbers where this model has {want}: another model"
        )));
    }
    params.set_flat(&flat);
    Ok(())
}

impl Run {
    /// A run that saves nothing and tells nobody.
    pub fn quiet() -> Run {
        let (on_step, tell) = (Box::new(|_: &Step| ()), Box::new(|_: &str| ()));
        Run { dir: None, resume: false, save_every: 0, on_step, tell, stop: Arc::default() }
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
        (self.on_step)(&Step { step, total, metrics });
        let (stop, last) = (self.stop.load(Ordering::Relaxed), step >= total);
        let due = self.save_every > 0 && step.is_multiple_of(self.save_every);
        if !(due || stop || last) {
            return Ok(());
        }
        match state.fault(loss) {
            Some(_) if state.progress.skipped_in_a_row > 0 && !stop && !last => return Ok(()),
            Some(what) => return Err(TrainError::Diverged { step, what }),
            None => {}
        }
        if let Some(dir) = self.checkpoints().filter(|_| due || stop) {
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

/// The order in which data are seen: a new permutation every epoch, each a function of (rng, epoch) alone, so that any
/// position can be looked up without having come there.
pub struct Order {
    rng: Rng,
    len: usize,
    epoch: usize,
    permutation: Vec<usize>,
}

impl Order {
    #[track_caller]
    pub fn new(rng: Rng, len: usize) -> Order {
        assert!(len > 0, "an order of nothing");
        Order { rng, len, epoch: 0, permutation: rng.fold(0).permutation(len) }
    }

    /// Which item stands at `position`, counted over all epochs.
    pub fn at(&mut self, position: usize) -> usize {
        let epoch = position / self.len;
        if epoch != self.epoch {
            (self.epoch, self.permutation) = (epoch, self.rng.fold(epoch as u64).permutation(self.len));
        }
        self.permutation[position % self.len]
    }

    /// The items of batch `step`, up to position `end`.
    pub fn batch(&mut self, step: usize, size: usize, end: usize) -> Vec<usize> {
        (step * size..((step + 1) * size).min(end)).map(|position| self.at(position)).collect()
    }
}

/// Every sequence must have a token and fit into the model.
pub(crate) fn check_lengths(
    what: &str,
    lengths: impl Iterator<Item = usize>,
    model: &Transformer,
) -> Result<(), TrainError> {
    let context = model.config.context;
    match lengths.enumerate().find(|&(_, length)| length == 0 || length > context) {
        None => Ok(()),
        Some((i, 0)) => Err(TrainError::Data(format!("{what} {i} is empty; leave it out"))),
        Some((i, length)) => Err(TrainError::Data(format!(
            "{what} {i} has {length} tokens, the model holds {context}; shorten it or leave it out"
        ))),
    }
}

/// Positions and steps of `epochs` (which may be a fraction) over `len` items in batches of `batch`.
pub(crate) fn plan(len: usize, epochs: f32, batch: usize) -> Result<(usize, usize), TrainError> {
    let positions = (len as f64 * epochs as f64).round() as usize;
    match (positions, batch) {
        (0, _) => Err(TrainError::Config(format!(
            "epochs = {epochs}: of {len} rows that is less than one; nothing would be learned"
        ))),
        (_, 0) => Err(TrainError::Config("batch = 0: it is at least 1".into())),
        _ => Ok((positions, positions.div_ceil(batch))),
    }
}
