//! Rows by number: embeddings, and picking the rows that a loss looks at.
use crate::tape::{Var, record};
use kernels::Ids;

/// Row ids[n] of w for every n.  w [V, C] → [N, C]
#[track_caller]
pub fn embed(w: &Var, ids: &Ids) -> Var {
    let (ids, rows) = (ids.clone(), w.value().rows_cols().0);
    let y = kernels::embed(w.value(), &ids);
    record("embed", [w], y, move |dy, _| [Some(kernels::embed_back(&dy, &ids, rows))])
}
