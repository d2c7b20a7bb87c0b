//! Rows and entries by their numbers: embeddings, and what a loss looks at.
use crate::tape::{Var, record};
use kernels::{Ids, index_select_back, shapes};

/// The embeddings of tokens: row ids[n] of a table.  table [V, C], ids [N] → [N, C]
///
/// # Panics
/// If the table is no matrix, or an id is beyond it.
#[track_caller]
pub fn embed(table: &Var, ids: &Ids) -> Var {
    shapes!("embed takes table [V, C]", table [_, _]);
    select("embed", table, ids)
}

/// Rows ids[r] of x.  x [N, C], ids [R] → [R, C]
///
/// # Panics
/// If x is no matrix, or an id is beyond it.
#[track_caller]
pub fn index_select(x: &Var, ids: &Ids) -> Var {
    select("index_select", x, ids)
}

#[track_caller]
fn select(name: &'static str, x: &Var, ids: &Ids) -> Var {
    let (ids, rows) = (ids.clone(), x.value().rows_cols().0);
    let y = kernels::index_select(x.value(), &ids);
    record(name, [x], y, move |dy, _| [Some(index_select_back(&dy, &ids, rows))])
}

/// Entries ids[r] of x.  x [N], ids [R] → [R]
///
/// # Panics
/// If an id is beyond x.
#[track_caller]
pub fn pick(x: &Var, ids: &Ids) -> Var {
    let (ids, n) = (ids.clone(), x.value().len());
    let y = kernels::index_select(&x.value().reshape(&[n, 1]), &ids).reshape(&[ids.len()]);
    record("pick", [x], y, move |dy, _| {
        let dx = index_select_back(&dy.reshape(&[ids.len(), 1]), &ids, n);
        [Some(dx.reshape(&[n]))]
    })
}
