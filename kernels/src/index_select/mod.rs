//! Rows of a matrix by their numbers: the rows that a loss looks at, and the embeddings of tokens.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::{Bf16, Device, Ids, Tensor, cpu::pool, shapes, unpack_bf16};

#[track_caller]
fn check(ids: &Ids, rows: usize) {
    if let Some(&id) = ids.host().iter().max() {
        assert!((id as usize) < rows, "id {id} of a table of {rows} rows");
    }
}

/// Rows by number: y[r] = x[ids[r]].  x [N, C], ids [R] → [R, C]
#[track_caller]
pub fn index_select(x: &Tensor, ids: &Ids) -> Tensor {
    shapes!("index_select takes x [N, C]", x [n, c]);
    check(ids, n);
    match x.device() {
        Device::Cpu => {
            let mut y = pool::take(ids.len() * c);
            cpu::index_select(x.data(), c, ids.host(), &mut y);
            Tensor::new(&[ids.len(), c], y)
        }
        Device::Gpu(g) => gpu::index_select(&g, x, ids),
    }
}

/// As [`index_select`], of a table in bf16.  w [V, C], ids [R] → [R, C]
#[track_caller]
pub fn index_select_bf16(w: &Bf16, ids: &Ids) -> Tensor {
    shapes!("index_select_bf16 takes w [V, C]", w [v, c]);
    check(ids, v);
    match w.host() {
        Some(words) => {
            let mut y = pool::take(ids.len() * c);
            cpu::index_select_bf16(words, c, ids.host(), &mut y);
            Tensor::new(&[ids.len(), c], y)
        }
        None => index_select(&unpack_bf16(w), ids),
    }
}

/// The gradient of [`index_select`] by x: each of the `rows` rows sums the gradients of its uses.
/// dy [R, C], ids [R] → [rows, C]
#[track_caller]
pub fn index_select_back(dy: &Tensor, ids: &Ids, rows: usize) -> Tensor {
    shapes!("index_select_back takes dy [R, C], ids [R]", dy [n, c], ids [r] if n == r);
    match dy.device() {
        Device::Cpu => {
            let mut dx = pool::take(rows * c);
            cpu::index_select_back(dy.data(), c, ids.host(), &mut dx);
            Tensor::new(&[rows, c], dx)
        }
        Device::Gpu(g) => gpu::index_select_back(&g, dy, ids, rows),
    }
}
