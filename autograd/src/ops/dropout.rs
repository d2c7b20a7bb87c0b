//! Dropout, for the small models that need it.
use crate::tape::{Var, record};
use kernels::Rng;

/// Dropout: each element is zeroed with probability `p`, the others divided by 1 - p. Which ones is a function of
/// `rng`: another layer or step wants another stream.
pub fn dropout(x: &Var, p: f32, rng: Rng) -> Var {
    let y = kernels::dropout(x.value(), p, rng);
    record("dropout", [x], y, move |dy, _| [Some(kernels::dropout(&dy, p, rng))])
}
