//! Through wgpu: both norms are one shader; `CENTRED` says whether the mean is taken out.
use crate::Tensor;
use crate::gpu::{ALIGN, Gpu, Kernel, RowKernel, RowRung, ShapeClass, log2, read, row_groups, write};
use crate::reduce::gpu::{BLOCK, sum_rows};
use std::sync::Arc;

type Consts = [(&'static str, u32); 1];
const LAYER: &Consts = &[("CENTRED", 1)];
const RMS: &Consts = &[("CENTRED", 0)];

const fn forward(consts: &'static Consts) -> RowKernel {
    RowKernel { name: "norm", body: include_str!("norm.wgsl"), consts, default: RowRung::tree(64) }
}

const fn back(consts: &'static Consts) -> RowKernel {
    RowKernel { name: "norm_back", body: include_str!("back.wgsl"), consts, default: RowRung::tree(64) }
}

const fn back_weights(consts: &'static Consts) -> Kernel<'static> {
    Kernel { name: "norm_back_weights", parts: &[include_str!("back_weights.wgsl")], consts }
}

pub fn sources() -> Vec<(String, String)> {
    let of = |c| [forward(c).sources(), back(c).sources(), crate::gpu::source_of(&[back_weights(c)])].concat();
    [LAYER, RMS].into_iter().flat_map(of).collect()
}

#[track_caller]
pub fn layer_norm(g: &Arc<Gpu>, x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> (Tensor, Tensor) {
    norm(g, LAYER, x, w, b, eps)
}

#[track_caller]
pub fn rms_norm(g: &Arc<Gpu>, x: &Tensor, w: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let (y, rstd) = norm(g, RMS, x, w, w, eps); // no bias: w stands in its place and is not looked at
    let n = rstd.len();
    (y, rstd.reshape(&[n]))
}

#[track_caller]
fn norm(g: &Arc<Gpu>, consts: &'static Consts, x: &Tensor, w: &Tensor, b: &Tensor, eps: f32) -> (Tensor, Tensor) {
    let ((n, c), kernel) = (x.rows_cols(), forward(consts));
    kernel
        .run_best(g, class(consts, n, c), |rung| {
            let (y, stats) = (g.array(x.shape()), g.array(&[n, 1 + consts[0].1 as usize]));
            let args = [read(x), read(w), read(b), write(&y), write(&stats)];
            kernel.try_run(g, rung, row_groups(n), &[n as u32, c as u32, eps.to_bits()], &args)?;
            drop(args);
            Ok([y, stats])
        })
        .into()
}

fn class(consts: &Consts, n: usize, c: usize) -> ShapeClass {
    [consts[0].1, log2(n), log2(c), 0, 0, 0]
}

#[track_caller]
pub fn layer_norm_back(g: &Arc<Gpu>, dy: &Tensor, x: &Tensor, w: &Tensor, stats: &Tensor) -> [Tensor; 3] {
    let [dx, sums] = norm_back(g, LAYER, dy, x, w, stats);
    let (c, half) = (w.len(), sums.len() / 2);
    [dx, sums.view(0, &[c]), sums.view(half, &[c])]
}

#[track_caller]
pub fn rms_norm_back(g: &Arc<Gpu>, dy: &Tensor, x: &Tensor, w: &Tensor, rstd: &Tensor) -> [Tensor; 2] {
    let [dx, sums] = norm_back(g, RMS, dy, x, w, rstd);
    [dx, sums.view(0, &[w.len()])]
}

/// dx, and side by side dw and, of layer norm, db; each starts where a binding may.
#[track_caller]
fn norm_back(
    g: &Arc<Gpu>,
    consts: &'static Consts,
    dy: &Tensor,
    x: &Tensor,
    w: &Tensor,
    stats: &Tensor,
) -> [Tensor; 2] {
    let ((n, c), kernel) = (x.rows_cols(), back(consts));
    let [dx] = kernel.run_best(g, class(consts, n, c), |rung| {
        let dx = g.array(x.shape());
        let args = [read(dy), read(x), read(w), read(stats), write(&dx)];
        kernel.try_run(g, rung, row_groups(n), &[n as u32, c as u32], &args)?;
        drop(args);
        Ok([dx])
    });
    let (blocks, half) = (n.div_ceil(BLOCK), c.next_multiple_of(ALIGN));
    let sums = g.array(&[blocks, half * (1 + consts[0].1 as usize)]);
    let groups = [c.div_ceil(64) as u32, blocks as u32, 1];
    let params = [n, c, BLOCK, half].map(|x| x as u32);
    g.run(&back_weights(consts), groups, &params, &[read(dy), read(x), read(stats), write(&sums)]);
    [dx, sum_rows(g, &sums)]
}
