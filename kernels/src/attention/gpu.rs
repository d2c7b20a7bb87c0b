//! Through wgpu. The head size D is a constant of the shader: private arrays are sized by it.
use crate::gpu::{
    Compiled, Gpu, Kernel, Rungs, compiled, flat_groups, log2, read, read_buffer, row_groups, source_of, wgsl, write,
};
use crate::{Heads, Ids, Segments, Tensor};
use std::fmt;
use std::sync::Arc;

/// Of `attention` and of both its ways back: so many invocations own a row.
#[derive(Clone, Copy, PartialEq)]
pub struct Rung {
    share: usize,
}
const ROW: Rung = Rung { share: 1 };
const SHARED_BY_4: Rung = Rung { share: 4 };
pub const RUNGS: &[Rung] = &[ROW, Rung { share: 2 }, SHARED_BY_4];

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.share {
            1 => f.write_str("row"),
            share => write!(f, "shared by {share}"),
        }
    }
}

impl Rung {
    /// Does every invocation get fours of a head's numbers?
    fn fits(self, dim: usize) -> bool {
        self == ROW || dim.is_multiple_of(4 * self.share)
    }

    fn consts(self, dim: usize) -> Consts {
        let share = (self != ROW).then_some(("SHARE", self.share as u32));
        [("D", dim as u32)].into_iter().chain(share).collect()
    }
}

/// Of `attention_cached`: what is read at once, and whether several workgroups share the past of a row.
#[derive(Clone, Copy, PartialEq)]
pub struct CachedRung {
    vec4: bool,
    chunks: bool,
}
const KEYS: CachedRung = CachedRung { vec4: false, chunks: false };
pub const CACHED_RUNGS: &[CachedRung] =
    &[KEYS, CachedRung { vec4: true, chunks: false }, CachedRung { vec4: true, chunks: true }];

impl fmt::Display for CachedRung {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            CachedRung { chunks: true, .. } => "chunks",
            CachedRung { vec4: true, .. } => "vec4",
            _ => "keys",
        })
    }
}

impl CachedRung {
    fn fits(self, dim: usize, sliding: bool) -> bool {
        self == KEYS || !sliding && dim.is_multiple_of(4) && dim <= 256
    }

    fn consts(self, dim: usize) -> Consts {
        let chunk = if self.chunks { CHUNK as u32 } else { u32::MAX / 2 };
        [("D", dim as u32), ("THREADS", 64)].into_iter().chain(self.vec4.then_some(("CHUNK", chunk))).collect()
    }

    fn kernel(self, consts: &Consts) -> Kernel<'_> {
        let (name, parts) = if self.vec4 { ("attention_cached4", CACHED_4) } else { ("attention_cached", CACHED) };
        Kernel { name, parts, consts }
    }
}

type Consts = Vec<(&'static str, u32)>;
type Parts = &'static [&'static str];
/// Rows a workgroup of the flash kernels owns, as in common.wgsl.
const ROWS: usize = 64;
/// Keys a workgroup looks at where several share a row's past.
const CHUNK: usize = 256;
const COMMON: &str = include_str!("common.wgsl");
const ALONE: &str = include_str!("alone.wgsl");
const SHARED: &str = include_str!("shared.wgsl");

/// A kernel whose rows are owned by one invocation, or by several.
struct Flash {
    name: &'static str,
    alone: Parts,
    shared: Parts,
}
const FORWARD: Flash = Flash {
    name: "attention",
    alone: &[ALONE, COMMON, include_str!("attention.wgsl")],
    shared: &[SHARED, COMMON, include_str!("attention.wgsl")],
};
const BACK_Q: Flash = Flash {
    name: "attention_back_q",
    alone: &[ALONE, COMMON, include_str!("back_q.wgsl")],
    shared: &[SHARED, COMMON, include_str!("back_q.wgsl")],
};
const BACK_KV: Flash = Flash {
    name: "attention_back_kv",
    alone: &[ALONE, COMMON, include_str!("back_kv.wgsl")],
    shared: &[SHARED, COMMON, include_str!("back_kv.wgsl")],
};

impl Flash {
    fn kernel<'a>(&self, rung: Rung, consts: &'a Consts) -> Kernel<'a> {
        Kernel { name: self.name, parts: if rung == ROW { self.alone } else { self.shared }, consts }
    }

    /// `with` gets the rungs for such a call.
    fn rungs<T>(&self, n: usize, heads: Heads, with: impl FnOnce(&Rungs<Rung>) -> T) -> T {
        let class = [log2(n), heads.dim as u32, heads.q as u32, heads.kv as u32, 0, 0];
        let shaders =
            |rung: Rung| rung.fits(heads.dim).then(|| vec![self.kernel(rung, &rung.consts(heads.dim)).shader()]);
        // A row of 64 numbers and more, and its sums, are too many registers for one invocation.
        let default = if heads.dim >= 64 { SHARED_BY_4 } else { ROW };
        with(&Rungs { kernel: self.name, class, all: RUNGS, default, rounds: false, shaders: &shaders })
    }
}

const CACHED: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("cached.wgsl")];
const CACHED_4: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("cached4.wgsl")];
const CACHED_PARTS: Parts = &[wgsl::GRID, include_str!("cached_parts.wgsl")];

fn cached_parts(consts: &Consts) -> Kernel<'_> {
    Kernel { name: "cached_parts", parts: CACHED_PARTS, consts }
}
fn append(consts: &Consts) -> Kernel<'_> {
    Kernel { name: "kv_append", parts: &[wgsl::GRID, include_str!("append.wgsl")], consts }
}

pub fn sources() -> Vec<(String, String)> {
    let of = |dim: usize| {
        let flash = RUNGS.iter().filter(|rung| rung.fits(dim)).flat_map(|&rung| {
            let consts = rung.consts(dim);
            source_of(&[&FORWARD, &BACK_Q, &BACK_KV].map(|kernel| kernel.kernel(rung, &consts)))
        });
        let caches = CACHED_RUNGS.iter().filter(|rung| rung.fits(dim, false));
        let caches = caches.flat_map(|rung| source_of(&[rung.kernel(&rung.consts(dim))]));
        let others = source_of(&[cached_parts(&ROW.consts(dim)), append(&ROW.consts(dim))]);
        flash.chain(caches).chain(others).collect::<Vec<_>>()
    };
    [2, 5, 16, 32, 64, 80, 128, 256].into_iter().flat_map(of).collect()
}

fn params(n: usize, heads: Heads) -> [u32; 4] {
    let scale = 1.0 / (heads.dim as f64).sqrt();
    [n as u32, heads.q as u32, heads.kv as u32, (scale as f32).to_bits()]
}

fn grid(n: usize, heads: usize) -> [u32; 3] {
    [n.div_ceil(ROWS) as u32, heads as u32, 1]
}

#[track_caller]
pub fn attention(g: &Arc<Gpu>, qkv: &Tensor, seg: &Segments, heads: Heads) -> (Tensor, Tensor) {
    let n = seg.tokens();
    let first = seg.first().on(g);
    let run = |rung: Rung| -> Compiled<_> {
        let (y, lse) = (g.array(&[n, heads.q * heads.dim]), g.array(&[n, heads.q]));
        let args = [read(qkv), read_buffer(&first), write(&y), write(&lse)];
        g.try_run(&FORWARD.kernel(rung, &rung.consts(heads.dim)), grid(n, heads.q), &params(n, heads), &args)?;
        drop(args);
        Ok([y, lse])
    };
    FORWARD.rungs(n, heads, |rungs| g.run_best(rungs, run)).into()
}

#[track_caller]
pub fn attention_back(
    g: &Arc<Gpu>,
    dy: &Tensor,
    qkv: &Tensor,
    y: &Tensor,
    lse: &Tensor,
    seg: &Segments,
    heads: Heads,
) -> Tensor {
    let n = seg.tokens();
    let first = seg.first().on(g);
    let (params, grid) = (params(n, heads), |heads| grid(n, heads));
    let back_q = |rung: Rung, dqkv: &Tensor, delta: &Tensor| -> Compiled<()> {
        let args = [read(qkv), read_buffer(&first), read(y), read(dy), read(lse), write(dqkv), write(delta)];
        g.try_run(&BACK_Q.kernel(rung, &rung.consts(heads.dim)), grid(heads.q), &params, &args)
    };
    let back_kv = |rung: Rung, dqkv: &Tensor, delta: &Tensor| -> Compiled<()> {
        let args = [read(qkv), read_buffer(&first), read(dy), read(lse), read(delta), write(dqkv)];
        g.try_run(&BACK_KV.kernel(rung, &rung.consts(heads.dim)), grid(heads.kv), &params, &args)
    };
    let (dqkv, delta) = (g.array(qkv.shape()), g.array(&[n, heads.q]));
    // a trial fills only its part of dqkv
    let blank = || Tensor::zeros(&qkv.device(), qkv.shape());
    let mut try_q = |rung| -> Compiled<_> {
        let (dqkv, delta) = (blank(), g.array(&[n, heads.q]));
        back_q(rung, &dqkv, &delta)?;
        // where every token sees itself alone, dq is nothing but rounding: there is nothing to compare
        Ok(if seg.longest() > 1 { vec![dqkv, delta] } else { vec![] })
    };
    let rung = BACK_Q.rungs(n, heads, |rungs| g.choose(rungs, &mut try_q));
    compiled(back_q(rung, &dqkv, &delta));
    let mut try_kv = |rung| -> Compiled<_> {
        let dqkv = blank();
        back_kv(rung, &dqkv, &delta)?;
        Ok(vec![dqkv])
    };
    let rung = BACK_KV.rungs(n, heads, |rungs| g.choose(rungs, &mut try_kv));
    compiled(back_kv(rung, &dqkv, &delta));
    dqkv
}

#[track_caller]
pub fn kv_append(
    g: &Arc<Gpu>,
    k: &mut Tensor,
    v: &mut Tensor,
    qkv: &Tensor,
    slots: &Ids,
    positions: &Ids,
    heads: Heads,
) {
    let (n, [_, context, _]) = (slots.len(), k.dims());
    let (slots, positions) = (slots.on(g), positions.on(g));
    let args = [read(qkv), read_buffer(&slots), read_buffer(&positions), write(k), write(v)];
    let params = [n, heads.q, heads.kv, context].map(|x| x as u32);
    let numbers = n * heads.kv * heads.dim;
    g.run(&append(&ROW.consts(heads.dim)), flat_groups(numbers), &params, &args);
}

#[track_caller]
pub fn attention_cached(
    g: &Arc<Gpu>,
    qkv: &Tensor,
    k: &Tensor,
    v: &Tensor,
    slots: &Ids,
    positions: &Ids,
    heads: Heads,
    window: usize,
) -> Tensor {
    let (n, [_, context, _]) = (slots.len(), k.dims());
    let longest = positions.host().iter().max().map_or(0, |&last| last as usize + 1);
    let (slots, positions) = (slots.on(g), positions.on(g));
    let run = |rung: CachedRung| -> Compiled<_> {
        let y = g.array(&[n, heads.q * heads.dim]);
        let chunks = if rung.chunks { longest.div_ceil(CHUNK).max(1) } else { 1 };
        let out = if chunks == 1 { y.clone() } else { g.array(&[n * heads.q * chunks, heads.dim + 2]) };
        let args = [read(qkv), read(k), read(v), read_buffer(&slots), read_buffer(&positions), write(&out)];
        let [n32, q, kv, scale] = params(n, heads);
        let rest = if rung == KEYS { [scale, window as u32] } else { [chunks as u32, scale] };
        let params = [[n32, q, kv, context as u32].as_slice(), &rest].concat();
        g.try_run(&rung.kernel(&rung.consts(heads.dim)), row_groups(n * heads.q * chunks), &params, &args)?;
        if chunks > 1 {
            let params = [y.len() as u32, chunks as u32];
            let args = [read(&out), write(&y)];
            g.try_run(&cached_parts(&ROW.consts(heads.dim)), flat_groups(y.len()), &params, &args)?;
        }
        drop(args);
        Ok([y])
    };
    let sliding = window < longest; // which the base rung alone knows of
    let class = [log2(n), heads.dim as u32, heads.q as u32, heads.kv as u32, log2(longest), sliding as u32];
    let shaders =
        |rung: CachedRung| rung.fits(heads.dim, sliding).then(|| vec![rung.kernel(&rung.consts(heads.dim)).shader()]);
    let rungs =
        Rungs { kernel: "attention_cached", class, all: CACHED_RUNGS, default: KEYS, rounds: false, shaders: &shaders };
    let [y] = g.run_best(&rungs, run);
    y
}
