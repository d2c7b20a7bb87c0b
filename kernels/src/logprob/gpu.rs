//! Through wgpu: a workgroup for each row; backward an invocation for each logit, in place.
use crate::gpu::{Gpu, Kernel, flat_groups, read, read_buffer, row_groups, wgsl, write};
use crate::{Ids, Tensor};
use std::sync::Arc;

const THREADS: &[(&str, u32)] = &[("THREADS", 128)];
const LOGPROB: Kernel =
    Kernel { name: "logprob", parts: &[wgsl::GRID, wgsl::WORKGROUP, include_str!("logprob.wgsl")], consts: THREADS };
const ENTROPY: Kernel =
    Kernel { name: "entropy", parts: &[wgsl::GRID, wgsl::WORKGROUP, include_str!("entropy.wgsl")], consts: THREADS };
const LOGPROB_BACK: Kernel =
    Kernel { name: "logprob_back", parts: &[wgsl::GRID, include_str!("back.wgsl")], consts: &[] };

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[LOGPROB, LOGPROB_BACK, ENTROPY])
}

#[track_caller]
pub fn logprob(g: &Arc<Gpu>, logits: &Tensor, ids: &Ids) -> (Tensor, Tensor) {
    let [n, v] = logits.dims();
    let (lp, lse, ids) = (g.array(&[n]), g.array(&[n]), ids.on(g));
    let args = [read(logits), read_buffer(&ids), write(&lp), write(&lse)];
    g.run(&LOGPROB, row_groups(n), &[n as u32, v as u32], &args);
    (lp, lse)
}

#[track_caller]
pub fn logprob_back(g: &Arc<Gpu>, d: &Tensor, logits: Tensor, ids: &Ids, lse: &Tensor) -> Tensor {
    let [_, v] = logits.dims();
    let ids = ids.on(g);
    let args = [read(d), read_buffer(&ids), read(lse), write(&logits)];
    g.run(&LOGPROB_BACK, flat_groups(logits.len()), &[logits.len() as u32, v as u32], &args);
    drop(args);
    logits
}

#[track_caller]
pub fn entropy(g: &Arc<Gpu>, logits: &Tensor, lse: &Tensor) -> Tensor {
    let [n, v] = logits.dims();
    let h = g.array(&[n]);
    g.run(&ENTROPY, row_groups(n), &[n as u32, v as u32], &[read(logits), read(lse), write(&h)]);
    h
}
