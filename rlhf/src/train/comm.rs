//! The seam for ranks: threads, processes or machines that train one model together, each on its share of every batch.
//!
//! Data parallelism: every rank has all parameters, makes the gradient of its share, and takes the same step on the sum.
//! Sums over a batch are made in four places, and all of them ask a [`Comm`]: the gradient ([`super::Learner::step`]),
//! the denominators of the losses, whitening, and the averages that are logged. [`super::Order`] gives a rank its share.

use kernels::{Rng, Tensor};
use std::ops::Range;

/// A rank among those that train together; all make the same calls in the same order.
pub trait Comm: Send + Sync {
    /// Which one this is, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// x ← Σ x over all ranks, the same bits on each.
    fn all_reduce(&self, x: &mut [f64]);
}

/// One rank, alone: the default.
pub struct Alone;

impl Comm for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, _: &mut [f64]) {}
}

impl dyn Comm + '_ {
    /// Σ x over all ranks.
    pub(crate) fn total(&self, x: f64) -> f64 {
        let mut sum = [x];
        self.all_reduce(&mut sum);
        sum[0]
    }

    /// The mean over the x of all ranks.
    pub(crate) fn mean(&self, x: &[f64]) -> f64 {
        self.total(x.iter().sum()) / self.total(x.len() as f64)
    }

    /// Σ of a tensor over all ranks, in place.
    pub(crate) fn all_reduce_tensor(&self, x: &mut Tensor) {
        if self.size() > 1 {
            let mut sums: Vec<f64> = x.to_vec().into_iter().map(f64::from).collect();
            self.all_reduce(&mut sums);
            *x = Tensor::from_slice(&x.device(), x.shape(), &sums.iter().map(|&x| x as f32).collect::<Vec<_>>());
        }
    }

    /// The part of a batch that is this rank's.
    pub(crate) fn share(&self, batch: Range<usize>) -> Range<usize> {
        let of = |rank: usize| batch.start + batch.len() * rank / self.size();
        of(self.rank())..of(self.rank() + 1)
    }

    /// The generator of this rank where each draws its own numbers: samples, masks.
    pub(crate) fn own(&self, rng: Rng) -> Rng {
        if self.rank() == 0 { rng } else { rng.stream("rank").fold(self.rank() as u64) }
    }
}
