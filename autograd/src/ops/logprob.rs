//! Log-probabilities of chosen tokens.
use crate::tape::{Var, record};
use kernels::{Ids, Tensor};

/// Log-probabilities of chosen ids: log softmax(logits)[n, ids[n]].  logits [N, V], ids [N] → [N]
///
/// The cross-entropy of a classifier or a language model is its negative mean.
///
/// The gradient is written over the logits where nobody else holds them: drop the `Var` that you gave.
///
/// # Panics
/// If there is not one id for each row, or an id is beyond V.
#[track_caller]
pub fn logprob(logits: &Var, ids: &Ids) -> Var {
    let (value, ids) = (logits.value().clone(), ids.clone());
    let (y, lse) = kernels::logprob(&value, &ids);
    record("logprob", [logits], y, move |dy, _| [Some(kernels::logprob_back(&dy, value, &ids, &lse))])
}

/// Entropy of softmax(logits), to look at, not to train on.  logits [N, V] → [N]
///
/// # Panics
/// If logits are no matrix.
#[track_caller]
pub fn entropy(logits: &Var) -> Tensor {
    let (n, _) = logits.value().rows_cols();
    let (_, lse) = kernels::logprob(logits.value(), &Ids::new(vec![0; n]));
    kernels::entropy(logits.value(), &lse)
}
