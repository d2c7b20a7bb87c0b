//! Through wgpu: a workgroup for each row, or several; backward an invocation for each logit, in place. Logits that
//! one binding cannot cover go by windows of rows.
use crate::gpu::{
    Gpu, Kernel, RowKernel, Rungs, flat_groups, log2, read, read_buffer, row_groups, row_windows, source_of, wgsl,
    write,
};
use crate::{Ids, Tensor};
use std::ops::Range;
use std::sync::Arc;

pub const RUNGS: &[&str] = &["two passes", "one pass", "one pass, subgroups", "chunks"];

type Parts = &'static [&'static str];
const TWO: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("logprob.wgsl")];
const ONE: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("online.wgsl")];
const ONE_SUBGROUPS: Parts = &[wgsl::GRID, wgsl::SUBGROUP, include_str!("online.wgsl")];
const CHUNKS: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("chunks.wgsl")];
/// Logits of a workgroup of the last rung.
const CHUNK: usize = 4096;
const LOGPROB: [Kernel; 4] = [
    Kernel { name: "logprob", parts: TWO, consts: &[("THREADS", 128)] },
    Kernel { name: "logprob_online", parts: ONE, consts: &[("THREADS", 256)] },
    Kernel { name: "logprob_subgroups", parts: ONE_SUBGROUPS, consts: &[("THREADS", 256)] },
    Kernel { name: "logprob_chunks", parts: CHUNKS, consts: &[("THREADS", 256), ("CHUNK", CHUNK as u32)] },
];
const LOGPROB_PARTS: Kernel =
    Kernel { name: "logprob_parts", parts: &[wgsl::GRID, include_str!("parts.wgsl")], consts: &[] };
const LOGPROB_BACK: Kernel =
    Kernel { name: "logprob_back", parts: &[wgsl::GRID, include_str!("back.wgsl")], consts: &[] };
const ENTROPY: RowKernel = RowKernel { name: "entropy", body: include_str!("entropy.wgsl"), consts: &[], usual: 1 };

pub fn sources() -> Vec<(String, String)> {
    [source_of(&LOGPROB), source_of(&[LOGPROB_PARTS, LOGPROB_BACK]), ENTROPY.sources()].concat()
}

#[track_caller]
pub fn logprob(g: &Arc<Gpu>, logits: &Tensor, ids: &Ids) -> (Tensor, Tensor) {
    let ([n, v], ids) = (logits.dims(), ids.on(g));
    let run = |rung: usize| {
        let (lp, lse) = (g.array(&[n]), g.array(&[n]));
        for rows in row_windows(g, n, v) {
            let logits = logits.rows(rows.clone());
            if rung == 3 {
                in_chunks(g, &logits, &rows, &ids, &lp, &lse);
                continue;
            }
            let args = [read(&logits), read_buffer(&ids), write(&lp), write(&lse)];
            g.run(&LOGPROB[rung], row_groups(rows.len()), &[rows.len() as u32, v as u32, rows.start as u32], &args);
        }
        (lp, lse)
    };
    let class = [log2(n), log2(v), 0, 0, 0, 0];
    let rung = g.chosen("logprob", class).unwrap_or_else(|| {
        let second = |rung: usize| (rung == 3).then_some(LOGPROB_PARTS.shader());
        let shaders = |rung: usize| Some([LOGPROB[rung].shader()].into_iter().chain(second(rung)).collect());
        let rungs = Rungs { kernel: "logprob", class, names: RUNGS, usual: 1, shaders: &shaders };
        g.choose(&rungs, &mut |rung| <[Tensor; 2]>::from(run(rung)).into())
    });
    run(rung)
}

#[track_caller]
fn in_chunks(g: &Arc<Gpu>, logits: &Tensor, rows: &Range<usize>, ids: &crate::gpu::Buffer, lp: &Tensor, lse: &Tensor) {
    let [n, v] = logits.dims();
    let chunks = v.div_ceil(CHUNK);
    let part = g.array(&[n * chunks, 2]);
    let params = [n, v, chunks, rows.start].map(|x| x as u32);
    g.run(&LOGPROB[3], row_groups(n * chunks), &params[..3], &[read(logits), write(&part)]);
    let args = [read(logits), read(&part), read_buffer(ids), write(lp), write(lse)];
    g.run(&LOGPROB_PARTS, flat_groups(n), &params, &args);
}

#[track_caller]
pub fn logprob_back(g: &Arc<Gpu>, d: &Tensor, logits: Tensor, ids: &Ids, lse: &Tensor) -> Tensor {
    let ([n, v], ids) = (logits.dims(), ids.on(g));
    for rows in row_windows(g, n, v) {
        let part = logits.rows(rows.clone());
        let params = [part.len() as u32, v as u32, rows.start as u32];
        g.run(&LOGPROB_BACK, flat_groups(part.len()), &params, &[read(d), read_buffer(&ids), read(lse), write(&part)]);
    }
    logits
}

#[track_caller]
pub fn entropy(g: &Arc<Gpu>, logits: &Tensor, lse: &Tensor) -> Tensor {
    let [n, v] = logits.dims();
    let run = |rung: usize| {
        let h = g.array(&[n]);
        for rows in row_windows(g, n, v) {
            let params = [rows.len() as u32, v as u32, rows.start as u32];
            let logits = logits.rows(rows.clone());
            ENTROPY.run(g, rung, row_groups(rows.len()), &params, &[read(&logits), read(lse), write(&h)]);
        }
        h
    };
    run(ENTROPY.choose(g, [log2(n), log2(v), 0, 0, 0, 0], &mut |rung| vec![run(rung)]))
}
