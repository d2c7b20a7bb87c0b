//! Through wgpu: a workgroup for each row, or several; backward an invocation for each logit, in place. Logits that
//! one binding cannot cover go by chunks of rows.
use crate::gpu::{
    Compiled, Gpu, Kernel, RowKernel, RowRung, Rungs, flat_groups, log2, read, read_buffer, row_chunks, row_groups,
    source_of, wgsl, write,
};
use crate::{Ids, Tensor};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// How often a row is read, and by whom.
#[derive(Clone, Copy, PartialEq)]
pub enum Rung {
    /// By one workgroup: for the largest logit, then for the sum.
    TwoPasses,
    /// Once, for both.
    OnePass { subgroups: bool },
    /// Once, by several workgroups.
    Chunks,
}
pub const RUNGS: &[Rung] =
    &[Rung::TwoPasses, Rung::OnePass { subgroups: false }, Rung::OnePass { subgroups: true }, Rung::Chunks];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Rung::TwoPasses => "two passes",
            Rung::OnePass { subgroups: false } => "one pass",
            Rung::OnePass { subgroups: true } => "one pass, subgroups",
            Rung::Chunks => "chunks",
        })
    }
}

impl Rung {
    fn kernel(self) -> Kernel<'static> {
        match self {
            Rung::TwoPasses => Kernel { name: "logprob", parts: TWO, consts: &[("THREADS", 128)] },
            Rung::OnePass { subgroups: false } => {
                Kernel { name: "logprob_online", parts: ONE, consts: &[("THREADS", 256)] }
            }
            Rung::OnePass { subgroups: true } => {
                Kernel { name: "logprob_subgroups", parts: ONE_SUBGROUPS, consts: &[("THREADS", 256)] }
            }
            Rung::Chunks => LOGPROB_CHUNKS,
        }
    }
}

type Parts = &'static [&'static str];
const TWO: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("logprob.wgsl")];
const ONE: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("online.wgsl")];
const ONE_SUBGROUPS: Parts = &[wgsl::GRID, wgsl::SUBGROUP, include_str!("online.wgsl")];
const CHUNKS: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("chunks.wgsl")];
/// Logits of a workgroup of the last rung.
const CHUNK: usize = 4096;
const LOGPROB_CHUNKS: Kernel =
    Kernel { name: "logprob_chunks", parts: CHUNKS, consts: &[("THREADS", 256), ("CHUNK", CHUNK as u32)] };
const LOGPROB_PARTS: Kernel =
    Kernel { name: "logprob_parts", parts: &[wgsl::GRID, include_str!("parts.wgsl")], consts: &[] };
const LOGPROB_BACK: Kernel =
    Kernel { name: "logprob_back", parts: &[wgsl::GRID, include_str!("back.wgsl")], consts: &[] };
const ENTROPY: RowKernel =
    RowKernel { name: "entropy", body: include_str!("entropy.wgsl"), consts: &[], default: RowRung::tree(128) };

pub fn sources() -> Vec<(String, String)> {
    let ladder: Vec<_> = RUNGS.iter().map(|rung| rung.kernel()).collect();
    [source_of(&ladder), source_of(&[LOGPROB_PARTS, LOGPROB_BACK]), ENTROPY.sources()].concat()
}

#[track_caller]
pub fn logprob(g: &Arc<Gpu>, logits: &Tensor, ids: &Ids) -> (Tensor, Tensor) {
    let ([n, v], ids) = (logits.dims(), ids.on(g));
    let run = |rung: Rung| -> Compiled<_> {
        let (lp, lse) = (g.array(&[n]), g.array(&[n]));
        for rows in row_chunks(g, n, v) {
            let logits = logits.rows(rows.clone());
            if rung == Rung::Chunks {
                in_chunks(g, &logits, &rows, &ids, &lp, &lse)?;
                continue;
            }
            let args = [read(&logits), read_buffer(&ids), write(&lp), write(&lse)];
            let params = [rows.len() as u32, v as u32, rows.start as u32];
            g.try_run(&rung.kernel(), row_groups(rows.len()), &params, &args)?;
        }
        Ok([lp, lse])
    };
    let second = |rung: Rung| (rung == Rung::Chunks).then_some(LOGPROB_PARTS.shader());
    let shaders = |rung: Rung| Some([rung.kernel().shader()].into_iter().chain(second(rung)).collect());
    let (class, default) = ([log2(n), log2(v), 0, 0, 0, 0], Rung::OnePass { subgroups: false });
    g.run_best(&Rungs { kernel: "logprob", class, all: RUNGS, default, rounds: false, shaders: &shaders }, run).into()
}

#[track_caller]
fn in_chunks(
    g: &Arc<Gpu>,
    logits: &Tensor,
    rows: &Range<usize>,
    ids: &crate::gpu::Buffer,
    lp: &Tensor,
    lse: &Tensor,
) -> Compiled<()> {
    let [n, v] = logits.dims();
    let chunks = v.div_ceil(CHUNK);
    let part = g.array(&[n * chunks, 2]);
    let params = [n, v, chunks, rows.start].map(|x| x as u32);
    g.try_run(&LOGPROB_CHUNKS, row_groups(n * chunks), &params[..3], &[read(logits), write(&part)])?;
    let args = [read(logits), read(&part), read_buffer(ids), write(lp), write(lse)];
    g.try_run(&LOGPROB_PARTS, flat_groups(n), &params, &args)
}

#[track_caller]
pub fn logprob_back(g: &Arc<Gpu>, d: &Tensor, logits: Tensor, ids: &Ids, lse: &Tensor) -> Tensor {
    let ([n, v], ids) = (logits.dims(), ids.on(g));
    for rows in row_chunks(g, n, v) {
        let part = logits.rows(rows.clone());
        let params = [part.len() as u32, v as u32, rows.start as u32];
        g.run(&LOGPROB_BACK, flat_groups(part.len()), &params, &[read(d), read_buffer(&ids), read(lse), write(&part)]);
    }
    logits
}

#[track_caller]
pub fn entropy(g: &Arc<Gpu>, logits: &Tensor, lse: &Tensor) -> Tensor {
    let [n, v] = logits.dims();
    let class = [log2(n), log2(v), 0, 0, 0, 0];
    let [h] = ENTROPY.run_best(g, class, |rung| {
        let h = g.array(&[n]);
        for rows in row_chunks(g, n, v) {
            let params = [rows.len() as u32, v as u32, rows.start as u32];
            let logits = logits.rows(rows.clone());
            ENTROPY.try_run(g, rung, row_groups(rows.len()), &params, &[read(&logits), read(lse), write(&h)])?;
        }
        Ok([h])
    });
    h
}
