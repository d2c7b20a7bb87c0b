//! Which rows a step reads, and whether they can be read.

use super::{Comm, TrainError};
use kernels::Rng;
use model::Transformer;
use std::sync::Arc;

/// The order in which data are seen: a new permutation every epoch, each a function of (rng, epoch) alone, so that any
/// position can be looked up without having come there.
pub struct Order {
    rng: Rng,
    len: usize,
    epoch: usize,
    permutation: Vec<usize>,
    comm: Arc<dyn Comm>,
}

impl Order {
    /// An order of `len` items, of which this rank sees its share.
    ///
    /// # Panics
    ///
    /// There are no items.
    #[track_caller]
    pub fn new(rng: Rng, len: usize, comm: Arc<dyn Comm>) -> Order {
        assert!(len > 0, "an order of nothing");
        Order { rng, len, epoch: 0, permutation: rng.fold(0).permutation(len), comm }
    }

    /// Which item stands at `position`, counted over all epochs.
    pub fn at(&mut self, position: usize) -> usize {
        let epoch = position / self.len;
        if epoch != self.epoch {
            (self.epoch, self.permutation) = (epoch, self.rng.fold(epoch as u64).permutation(self.len));
        }
        self.permutation[position % self.len]
    }

    /// The items of batch `step`, up to position `end`: this rank's share of them.
    pub fn batch(&mut self, step: usize, size: usize, end: usize) -> Vec<usize> {
        let share = self.comm.share(step * size..((step + 1) * size).min(end));
        share.map(|position| self.at(position)).collect()
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
