//! Samples cut twice: into minibatches, each an optimizer step, in a new random order every epoch; and those into
//! micro-batches that fit into memory. What a loss may get wrong in between stands here: the denominator is that of the
//! whole minibatch, and a number that is not finite is found before the step.

use crate::{
    rollout::{CompletionBatch, Episode, Samples, micro_batches},
    self_check,
    train::{Comm, TrainError},
};
use autograd::{Var, ops};
use kernels::{Device, Rng, Tensor, read_all};
use std::ops::{Deref, Index};

/// The minibatches of `epochs` passes over the samples of all ranks, of `size` episodes each; of every one, the episodes
/// of this rank.
pub(crate) fn minibatches<'a>(
    samples: &'a Samples,
    epochs: usize,
    size: usize,
    rng: Rng,
    comm: &'a dyn Comm,
) -> impl Iterator<Item = Minibatch<'a>> {
    let here = samples.episodes.len();
    let all = comm.total(here as f64) as usize;
    (0..epochs).flat_map(move |epoch| {
        let order = rng.fold(epoch as u64).permutation(here);
        (0..all.div_ceil(size)).map(move |step| {
            let place = |step: usize| (step * size).min(all) * here / all;
            let which = order[place(step)..place(step + 1)].to_vec();
            let tokens: usize = which.iter().map(|&e| samples.spans[e].len()).sum();
            Minibatch { epoch, step, samples, which, scale: 1.0 / comm.total(tokens as f64) as f32 }
        })
    })
}

/// The episodes of one optimizer step.
pub(crate) struct Minibatch<'a> {
    pub epoch: usize,
    /// of this epoch
    pub step: usize,
    samples: &'a Samples,
    /// their numbers among the samples
    which: Vec<usize>,
    /// 1 / (completion tokens of the minibatch)
    scale: f32,
}

impl<'a> Minibatch<'a> {
    /// Whole episodes, at most `token_budget` tokens at a time where that can be.
    pub(crate) fn micro_batches(&self, token_budget: usize, device: &Device) -> impl Iterator<Item = MicroBatch<'a>> {
        let episodes = self.episodes();
        micro_batches(&episodes, token_budget).into_iter().map(move |range| MicroBatch {
            batch: CompletionBatch::new(&episodes[range.clone()]),
            samples: self.samples,
            which: self.which[range].to_vec(),
            scale: self.scale,
            device: device.clone(),
        })
    }

    /// Nothing has been learnt yet: does the policy give each token the log-probability with which it was drawn?
    /// `logp` [t]
    pub(crate) fn check_untrained(&self, logp: &[f32]) -> Result<(), TrainError> {
        let drawn = pick(&self.samples.logp, self.samples, &self.which);
        self_check::same_policy(&self.episodes(), &drawn, logp, self.samples.tolerance).map_err(TrainError::SelfCheck)
    }

    fn episodes(&self) -> Vec<&'a Episode> {
        self.which.iter().map(|&e| &self.samples.episodes[e]).collect()
    }
}

/// Some episodes of a minibatch, as the networks read them. t: their completion tokens.
pub(crate) struct MicroBatch<'a> {
    batch: CompletionBatch,
    samples: &'a Samples,
    which: Vec<usize>,
    scale: f32,
    device: Device,
}

impl MicroBatch<'_> {
    /// Their numbers of an array [T].  → [t]
    pub(crate) fn of(&self, x: &[f32]) -> Var {
        let x = pick(x, self.samples, &self.which);
        Var::from(Tensor::from_slice(&self.device, &[x.len()], &x))
    }

    /// Their share of the mean over all tokens of the minibatch, so that its micro-batches add up to it.  x [t] → [1]
    pub(crate) fn mean(&self, x: &Var) -> Var {
        ops::scale(&ops::sum(x), self.scale)
    }
}

impl Deref for MicroBatch<'_> {
    type Target = CompletionBatch;

    fn deref(&self) -> &CompletionBatch {
        &self.batch
    }
}

fn pick(x: &[f32], samples: &Samples, which: &[usize]) -> Vec<f32> {
    which.iter().flat_map(|&e| x[samples.spans[e].clone()].iter().copied()).collect()
}

/// Arrays that the losses of a minibatch made, by name: a piece of each micro-batch, still on the device.
#[derive(Default)]
pub(crate) struct Made(Vec<(&'static str, Vec<Tensor>)>);

impl Made {
    pub(crate) fn keep<const N: usize>(&mut self, pieces: [(&'static str, &Tensor); N]) {
        for (name, piece) in pieces {
            match self.0.iter_mut().find(|(n, _)| *n == name) {
                Some((_, pieces)) => pieces.push(piece.clone()),
                None => self.0.push((name, vec![piece.clone()])),
            }
        }
    }

    /// Reads all of them in one wait.
    pub(crate) fn read(self) -> Read {
        let pieces: Vec<&Tensor> = self.0.iter().flat_map(|(_, pieces)| pieces).collect();
        let mut read = read_all(&pieces).into_iter();
        let whole = |(name, pieces): &(&'static str, Vec<Tensor>)| {
            (*name, read.by_ref().take(pieces.len()).collect::<Vec<_>>().concat())
        };
        Read(self.0.iter().map(whole).collect())
    }
}

/// The same, on the host: the pieces of a name end to end.
pub(crate) struct Read(Vec<(&'static str, Vec<f32>)>);

impl Index<&str> for Read {
    type Output = [f32];

    #[track_caller]
    fn index(&self, name: &str) -> &[f32] {
        &self.0.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("no loss made {name}")).1
    }
}

impl Read {
    /// The mean of f(x), in f64.
    pub(crate) fn mean(&self, name: &str, f: impl Fn(f64) -> f64) -> f64 {
        let x = &self[name];
        x.iter().map(|&x| f(f64::from(x))).sum::<f64>() / x.len() as f64
    }

    pub(crate) fn sum(&self, name: &str) -> f64 {
        self[name].iter().map(|&x| f64::from(x)).sum()
    }

    /// How often `a` is above `b`, as a share.
    pub(crate) fn above(&self, a: &str, b: &str) -> f64 {
        let (a, b) = (&self[a], &self[b]);
        a.iter().zip(b).filter(|(a, b)| a > b).count() as f64 / a.len() as f64
    }

    /// NaN and infinities must be found here: `clamp` and `min` turn them into innocent numbers. On all ranks or none.
    /// `named`: name and what it is called.
    pub(crate) fn check_finite(&self, named: &[(&str, &str)], comm: &dyn Comm) -> Result<(), String> {
        for (name, what) in named {
            if comm.total(self[*name].iter().any(|x| !x.is_finite()) as u8 as f64) > 0.0 {
                return Err(format!("{what} is not finite"));
            }
        }
        Ok(())
    }
}

/// Averages named numbers over the minibatches of an iteration, in the order in which they first came.
#[derive(Default)]
pub(crate) struct Average {
    sums: Vec<(&'static str, f64, f64)>,
}

impl Average {
    pub(crate) fn add(&mut self, name: &'static str, value: f64, weight: f64) {
        match self.sums.iter_mut().find(|s| s.0 == name) {
            Some(s) => {
                s.1 += value * weight;
                s.2 += weight;
            }
            None => self.sums.push((name, value * weight, weight)),
        }
    }

    /// Over all ranks.
    pub(crate) fn means(&self, comm: &dyn Comm) -> impl Iterator<Item = (&'static str, f64)> {
        self.sums.iter().map(|&(name, sum, weight)| (name, comm.total(sum) / comm.total(weight)))
    }
}
