//! What a loop must remember: its progress and its numbers, as a checkpoint holds them.

use super::{Learner, TrainError};
use autograd::Params;
use kernels::{Device, Tensor};
use model::checkpoint::{self, Checkpoint};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How many of the newest checkpoints stay.
const KEEP: usize = 2;
/// Weights are of order 1. Far beyond, norms overflow and give 0, so that even the loss looks well.
const LARGEST: f64 = 1e6;
/// So many steps in a row may be left out before the run gives up.
const SKIPS_IN_A_ROW: u64 = 3;

/// How far a loop has come. Saved in every checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// optimizer steps, or iterations, that are made
    pub step: usize,
    /// tokens read, prompts included
    pub tokens: u64,
    /// steps left out because something was not finite
    pub skipped: u64,
    pub(super) skipped_in_a_row: u64,
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

/// Everything a loop must remember, gathered for saving or handed back after loading.
pub struct State<'a> {
    /// how far it has come
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
    pub(super) fn fault(&self, loss: impl Fn(&State) -> f64) -> Option<String> {
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

    pub(super) fn save(&self, dir: &Path) -> Result<(), TrainError> {
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

    pub(super) fn load(&mut self, saved: &Checkpoint) -> Result<(), TrainError> {
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
