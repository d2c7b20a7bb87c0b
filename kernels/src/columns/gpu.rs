//! Through wgpu: an invocation for each number that is copied.
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, flat_groups, read, wgsl, write};
use std::ops::Range;
use std::sync::Arc;

const COPY: Kernel = Kernel { name: "columns", parts: &[wgsl::GRID, include_str!("columns.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[COPY])
}

#[track_caller]
pub fn slice_columns(g: &Arc<Gpu>, x: &Tensor, range: Range<usize>) -> Tensor {
    let y = g.array(&[x.shape()[0], range.len()]);
    copy(g, x, range.start, &y, 0, range.len());
    y
}

#[track_caller]
pub fn set_columns(g: &Arc<Gpu>, y: &Tensor, start: usize, x: &Tensor) {
    copy(g, x, 0, y, start, x.shape()[1]);
}

#[track_caller]
fn copy(g: &Arc<Gpu>, x: &Tensor, x_start: usize, y: &Tensor, y_start: usize, count: usize) {
    let ([n, xw], [_, yw]) = (x.dims(), y.dims());
    let params = [n * count, count, xw, x_start, yw, y_start].map(|x| x as u32);
    g.run(&COPY, flat_groups(n * count), &params, &[read(x), write(y)]);
}
