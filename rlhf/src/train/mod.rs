//! What all training loops share, as functions: a learner's step, what to do when a number is not finite, the order of
//! the data, reporting, checkpoints and resume. The loops themselves are in [`crate::methods`].
//!
//! The state of a loop is its learners and a [`Progress`]; everything random is a function of (rng, step). So a
//! checkpoint needs no generator state and no data cursor, and a resumed run is the uninterrupted one, bit for bit.

mod comm;
mod learner;
mod order;
mod run;
mod state;

pub use comm::{Alone, Comm};
pub use learner::Learner;
pub use order::Order;
pub(crate) use order::{check_lengths, plan};
pub use run::{Run, Step};
pub use state::{Progress, State};

use model::ModelError;

/// Why a loop ended before its last step.
#[allow(missing_docs)] // the fields are in the messages
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// numbers are not finite, or so large that they soon will not be
    #[error(
        "training diverged at step {step}: {what}. Lower the learning rate, or clip the gradient lower; the last checkpoint is from before"
    )]
    Diverged { step: usize, what: String },
    /// somebody wished it; there is a checkpoint
    #[error("stopped after step {step}")]
    Stopped { step: usize },
    /// the data, or a reward, cannot be used
    #[error("{0}")]
    Data(String),
    /// a key of the configuration that makes no sense with these data
    #[error("{0}")]
    Config(String),
    /// sampler and trainer disagree: any further step would learn from wrong numbers
    #[error("{0}")]
    SelfCheck(String),
    /// a checkpoint cannot be written or read
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
