//! Causal attention over a ragged batch, and rotary positions.
use crate::tape::{Var, record};
use kernels::{Heads, Ids, Segments, Tensor};

/// Causal attention: every token looks at itself and those before it in its own sequence.
/// qkv [N, (H + 2G)·D] → [N, H·D]
///
/// # Panics
/// If qkv is of other tokens or heads.
#[track_caller]
pub fn attention(qkv: &Var, segments: &Segments, heads: Heads) -> Var {
    let (qkv_value, segments) = (qkv.value().clone(), segments.clone());
    let (y, lse) = kernels::attention(&qkv_value, &segments, heads);
    let y_value = y.clone();
    record("attention", [qkv], y, move |dy, _| {
        [Some(kernels::attention_back(&dy, &qkv_value, &y_value, &lse, &segments, heads))]
    })
}

/// Rotary position embedding (Su et al. 2021): queries and keys turned by their positions; values stay.
/// qkv [N, (H + 2G)·D], same out.
/// `table` is from `kernels::rope_table`, on the device of `qkv`.
///
/// # Panics
/// If qkv is of other heads, the table turns more than a head or lacks a position, or a row has no position.
#[track_caller]
pub fn rope(qkv: &Var, table: &Tensor, positions: &Ids, heads: Heads) -> Var {
    let y = kernels::rope(qkv.value(), table, positions, heads, false);
    let (table, positions) = (table.clone(), positions.clone());
    record("rope", [qkv], y, move |dy, _| {
        [Some(kernels::rope(&dy, &table, &positions, heads, true))] // a rotation: back is the other way round
    })
}
