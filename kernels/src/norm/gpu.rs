//! Through wgpu: both norms are one shader; `CENTRED` says whether the mean is taken out.
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, read, row_groups, wgsl, write};
use crate::reduce::gpu::{BLOCK, sum_rows};
use std::sync::Arc;

type Consts = [(&'static str, u32); 2];
const LAYER: &Consts = &[("THREADS", 64), ("CENTRED", 1)];
const RMS: &Consts = &[("THREADS", 64), ("CENTRED", 0)];

const fn forward(consts: &'static Consts) -> Kernel<'static> {
    Kernel { name: "norm", parts: &[wgsl::GRID, wgsl::WORKGROUP, include_str!("norm.wgsl")], consts }
}

const fn back(consts: &'static Consts) -> Kernel<'static> {
    Kernel { name: "norm_back", parts: &[wgsl::GRID, wgsl::WORKGROUP, include_str!("back.wgsl")], consts }
}

const fn back_weights(consts: &'static Consts) -> Kernel<'static> {
    Kernel { name: "norm_back_weights", parts: &[include_str!("back_weights.wgsl")], consts }
}

pub fn sources() -> Vec<(String, String)> {
    let kernels = [LAYER, RMS].map(|c| [forward(c), back(c), back_weights(c)]);
    crate::gpu::source_of(kernels.as_flattened())
}

#[track_caller]
pub fn layer_norm(g: &Arc<Gpu>, x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let (n, c) = x.rows_cols();
    let (y, stats) = (g.array(x.shape()), g.array(&[n, 2]));
    let args = [read(x), read(w), read(b), write(&y), write(&stats)];
    g.run(&forward(LAYER), row_groups(n), &[n as u32, c as u32, eps.to_bits()], &args);
    (y, stats)
}

#[track_caller]
pub fn rms_norm(g: &Arc<Gpu>, x: &Tensor, w: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let (n, c) = x.rows_cols();
    let (y, rstd) = (g.array(x.shape()), g.array(&[n]));
    // no bias: w stands in its place and is not looked at
    let args = [read(x), read(w), read(w), write(&y), write(&rstd)];
    g.run(&forward(RMS), row_groups(n), &[n as u32, c as u32, eps.to_bits()], &args);
    (y, rstd)
}

#[track_caller]
pub fn layer_norm_back(g: &Arc<Gpu>, dy: &Tensor, x: &Tensor, w: &Tensor, stats: &Tensor) -> [Tensor; 3] {
    norm_back(g, LAYER, dy, x, w, stats)
}

#[track_caller]
pub fn rms_norm_back(g: &Arc<Gpu>, dy: &Tensor, x: &Tensor, w: &Tensor, rstd: &Tensor) -> [Tensor; 2] {
    let [dx, dw, _] = norm_back(g, RMS, dy, x, w, rstd);
    [dx, dw]
}

#[track_caller]
fn norm_back(
    g: &Arc<Gpu>,
    consts: &'static Consts,
    dy: &Tensor,
    x: &Tensor,
    w: &Tensor,
    stats: &Tensor,
) -> [Tensor; 3] {
    let (n, c) = x.rows_cols();
    let dx = g.array(x.shape());
    let args = [read(dy), read(x), read(w), read(stats), write(&dx)];
    g.run(&back(consts), row_groups(n), &[n as u32, c as u32], &args);
    let blocks = n.div_ceil(BLOCK);
    let (dw, db) = (g.array(&[blocks, c]), g.array(&[blocks, c]));
    let args = [read(dy), read(x), read(stats), write(&dw), write(&db)];
    let groups = [c.div_ceil(64) as u32, blocks as u32, 1];
    g.run(&back_weights(consts), groups, &[n as u32, c as u32, BLOCK as u32], &args);
    if std::ptr::eq(consts, LAYER) { [dx, sum_rows(g, &dw), sum_rows(g, &db)] } else { [dx, sum_rows(g, &dw), db] }
}
