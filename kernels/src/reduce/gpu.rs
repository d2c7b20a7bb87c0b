//! Through wgpu: parts first, then the sum of the parts. No atomics, so always the same bits.
use crate::Tensor;
use crate::gpu::{Gpu, Kernel, chunks, read, wgsl, write};
use std::sync::Arc;

const REDUCE: Kernel =
    Kernel { name: "reduce", parts: &[wgsl::WORKGROUP, include_str!("reduce.wgsl")], consts: &[("THREADS", 256)] };
const SUM_ROWS: Kernel = Kernel { name: "sum_rows", parts: &[include_str!("sum_rows.wgsl")], consts: &[] };
/// Workgroups of the first run, at most: enough to fill a GPU, few enough for one workgroup to finish.
const PARTS: usize = 2048;
/// Rows that one workgroup of `sum_rows` adds up.
pub const BLOCK: usize = 128;

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[REDUCE, SUM_ROWS])
}

#[derive(Clone, Copy)]
enum Op {
    Sum,
    Dot,
    NonFinite,
}

#[track_caller]
pub fn sum(g: &Arc<Gpu>, x: &Tensor) -> Tensor {
    reduce(g, Op::Sum, x, x)
}

#[track_caller]
pub fn dot(g: &Arc<Gpu>, a: &Tensor, b: &Tensor) -> Tensor {
    reduce(g, Op::Dot, a, b)
}

#[track_caller]
pub fn count_non_finite(g: &Arc<Gpu>, x: &Tensor) -> Tensor {
    reduce(g, Op::NonFinite, x, x)
}

#[track_caller]
fn reduce(g: &Arc<Gpu>, op: Op, a: &Tensor, b: &Tensor) -> Tensor {
    let (a, b) = (a.reshape(&[a.len()]), b.reshape(&[b.len()]));
    let groups_of = |n: usize| n.div_ceil(1024).clamp(1, PARTS);
    let all: Vec<_> = chunks(a.len(), g.max_binding_words()).collect();
    let parts = g.array(&[all.iter().map(|w| groups_of(w.len())).sum::<usize>().max(1)]);
    if all.is_empty() {
        return crate::elementwise::gpu::full(g, &[1], 0.0);
    }
    let mut to = 0;
    for chunk in all {
        let (a, b) = (a.view(chunk.start, &[chunk.len()]), b.view(chunk.start, &[chunk.len()]));
        let groups = groups_of(chunk.len());
        let params = [chunk.len() as u32, op as u32, groups as u32, to as u32];
        g.run(&REDUCE, [groups as u32, 1, 1], &params, &[read(&a), read(&b), write(&parts)]);
        to += groups;
    }
    if to == 1 {
        return parts;
    }
    let y = g.array(&[1]);
    g.run(&REDUCE, [1, 1, 1], &[to as u32, Op::Sum as u32, 1, 0], &[read(&parts), read(&parts), write(&y)]);
    y
}

#[track_caller]
pub fn sum_rows(g: &Arc<Gpu>, x: &Tensor) -> Tensor {
    let (n, c) = x.rows_cols();
    if n == 0 {
        return crate::elementwise::gpu::full(g, &[c], 0.0);
    }
    let blocks = n.div_ceil(BLOCK);
    let y = g.array(&[blocks, c]);
    let params = [n as u32, c as u32, BLOCK as u32];
    g.run(&SUM_ROWS, [c.div_ceil(64) as u32, blocks as u32, 1], &params, &[read(x), write(&y)]);
    if blocks == 1 { y.reshape(&[c]) } else { sum_rows(g, &y) }
}
