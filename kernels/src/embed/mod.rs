//! Rows of a table: token embeddings, and the picking of rows from any matrix.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::{Bf16, Device, Ids, Tensor, cpu::pool, unpack_bf16};

/// y[n] = w[ids[n]].  w [V, C], ids [N] → [N, C]
#[track_caller]
pub fn embed(w: &Tensor, ids: &Ids) -> Tensor {
    let [v, c] = w.dims();
    if let Some(&id) = ids.host().iter().max() {
        assert!((id as usize) < v, "embed: row {id} of a table with {v} rows");
    }
    match w.device() {
        Device::Cpu => {
            let mut y = pool::take(ids.len() * c);
            cpu::embed(w.data(), c, ids.host(), &mut y);
            Tensor::new(&[ids.len(), c], y)
        }
        Device::Gpu(g) => gpu::embed(&g, w, ids),
    }
}

/// As [`embed`], of a table stored in bf16.
#[track_caller]
pub fn embed_stored(w: &Bf16, ids: &Ids) -> Tensor {
    let [v, c] = [w.shape()[0], w.shape()[1]];
    if let Some(&id) = ids.host().iter().max() {
        assert!((id as usize) < v, "embed: row {id} of a table with {v} rows");
    }
    match w.host() {
        Some(words) => {
            let mut y = pool::take(ids.len() * c);
            cpu::embed_stored(words, c, ids.host(), &mut y);
            Tensor::new(&[ids.len(), c], y)
        }
        None => embed(&unpack_bf16(w), ids),
    }
}

/// dw of `embed`: each row of the table sums the gradients of its uses.  dy [N, C] → [rows, C]
#[track_caller]
pub fn embed_back(dy: &Tensor, ids: &Ids, rows: usize) -> Tensor {
    let [n, c] = dy.dims();
    assert_eq!(n, ids.len(), "embed_back: dy {:?} for {} ids", dy.shape(), ids.len());
    match dy.device() {
        Device::Cpu => {
            let mut dw = pool::take(rows * c);
            cpu::embed_back(dy.data(), c, ids.host(), &mut dw);
            Tensor::new(&[rows, c], dw)
        }
        Device::Gpu(g) => gpu::embed_back(&g, dy, ids, rows),
    }
}
