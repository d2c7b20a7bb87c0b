//! Through wgpu. The head size D is a constant of the shader: private arrays are sized by it.
use crate::gpu::{Gpu, Kernel, Rungs, flat_groups, log2, read, read_buffer, row_groups, source_of, wgsl, write};
use crate::{Heads, Ids, Segments, Tensor};
use std::sync::Arc;

/// Of `attention` and of both its ways back.
pub const RUNGS: &[&str] = &["row", "shared by 2", "shared by 4"];
pub const CACHED_RUNGS: &[&str] = &["keys", "vec4", "chunks"];

type Consts = Vec<(&'static str, u32)>;
type Parts = &'static [&'static str];
/// Rows a workgroup of the flash kernels owns, as in common.wgsl.
const ROWS: usize = 64;
/// Keys a workgroup of the last rung of `attention_cached` looks at.
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

fn share(rung: usize) -> usize {
    [1, 2, 4][rung]
}

fn consts(rung: usize, dim: usize) -> Consts {
    let share = (rung > 0).then(|| ("SHARE", share(rung) as u32));
    [("D", dim as u32)].into_iter().chain(share).collect()
}

impl Flash {
    fn kernel<'a>(&self, rung: usize, consts: &'a Consts) -> Kernel<'a> {
        Kernel { name: self.name, parts: if rung == 0 { self.alone } else { self.shared }, consts }
    }

    /// The rung for such a call.
    fn choose(&self, g: &Arc<Gpu>, n: usize, heads: Heads, trial: &mut dyn FnMut(usize) -> Vec<Tensor>) -> usize {
        let class = [log2(n), heads.dim as u32, heads.q as u32, heads.kv as u32, 0, 0];
        if let Some(rung) = g.chosen(self.name, class) {
            return rung;
        }
        let fits = |rung: usize| rung == 0 || heads.dim.is_multiple_of(4 * share(rung));
        let shaders = |rung: usize| fits(rung).then(|| vec![self.kernel(rung, &consts(rung, heads.dim)).shader()]);
        // A row of 64 numbers and more, and its sums, are too many registers for one invocation.
        let usual = if heads.dim >= 64 && fits(2) { 2 } else { 0 };
        g.choose(&Rungs { kernel: self.name, class, names: RUNGS, usual, shaders: &shaders }, trial)
    }
}

const CACHED: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("cached.wgsl")];
const CACHED_4: Parts = &[wgsl::GRID, wgsl::WORKGROUP, include_str!("cached4.wgsl")];
const CACHED_PARTS: Parts = &[wgsl::GRID, include_str!("cached_parts.wgsl")];

fn cached_consts(rung: usize, dim: usize) -> Consts {
    let chunk = if rung == 2 { CHUNK as u32 } else { u32::MAX / 2 };
    [("D", dim as u32), ("THREADS", 64)].into_iter().chain((rung > 0).then_some(("CHUNK", chunk))).collect()
}
fn cached(rung: usize, consts: &Consts) -> Kernel<'_> {
    let (name, parts) = if rung == 0 { ("attention_cached", CACHED) } else { ("attention_cached4", CACHED_4) };
    Kernel { name, parts, consts }
}
fn cached_parts(consts: &Consts) -> Kernel<'_> {
    Kernel { name: "cached_parts", parts: CACHED_PARTS, consts }
}
fn append(consts: &Consts) -> Kernel<'_> {
    Kernel { name: "kv_append", parts: &[wgsl::GRID, include_str!("append.wgsl")], consts }
}

pub fn sources() -> Vec<(String, String)> {
    let of = |dim: usize| {
        let flash =
            (0..RUNGS.len()).filter(|&rung| rung == 0 || dim.is_multiple_of(4 * share(rung))).flat_map(|rung| {
                let consts = consts(rung, dim);
                source_of(&[&FORWARD, &BACK_Q, &BACK_KV].map(|kernel| kernel.kernel(rung, &consts)))
            });
        let caches = (0..if dim.is_multiple_of(4) { 3 } else { 1 })
            .flat_map(|rung| source_of(&[cached(rung, &cached_consts(rung, dim))]));
        let others = source_of(&[cached_parts(&consts(0, dim)), append(&consts(0, dim))]);
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
    let run = |rung: usize| {
        let (y, lse) = (g.array(&[n, heads.q * heads.dim]), g.array(&[n, heads.q]));
        let args = [read(qkv), read_buffer(&first), write(&y), write(&lse)];
        g.run(&FORWARD.kernel(rung, &consts(rung, heads.dim)), grid(n, heads.q), &params(n, heads), &args);
        drop(args);
        (y, lse)
    };
    run(FORWARD.choose(g, n, heads, &mut |rung| <[Tensor; 2]>::from(run(rung)).into()))
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
    let back_q = |rung: usize, dqkv: &Tensor, delta: &Tensor| {
        let args = [read(qkv), read_buffer(&first), read(y), read(dy), read(lse), write(dqkv), write(delta)];
        g.run(&BACK_Q.kernel(rung, &consts(rung, heads.dim)), grid(heads.q), &params, &args);
    };
    let back_kv = |rung: usize, dqkv: &Tensor, delta: &Tensor| {
        let args = [read(qkv), read_buffer(&first), read(dy), read(lse), read(delta), write(dqkv)];
        g.run(&BACK_KV.kernel(rung, &consts(rung, heads.dim)), grid(heads.kv), &params, &args);
    };
    let (dqkv, delta) = (g.array(qkv.shape()), g.array(&[n, heads.q]));
    // a trial fills only its part of dqkv
    let blank = || Tensor::zeros(&qkv.device(), qkv.shape());
    let rung = BACK_Q.choose(g, n, heads, &mut |rung| {
        let (dqkv, delta) = (blank(), g.array(&[n, heads.q]));
        back_q(rung, &dqkv, &delta);
        // where every token sees itself alone, dq is nothing but rounding: there is nothing to compare
        if seg.longest() > 1 { vec![dqkv, delta] } else { vec![] }
    });
    back_q(rung, &dqkv, &delta);
    let rung = BACK_KV.choose(g, n, heads, &mut |rung| {
        let dqkv = blank();
        back_kv(rung, &dqkv, &delta);
        vec![dqkv]
    });
    back_kv(rung, &dqkv, &delta);
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
    g.run(&append(&consts(0, heads.dim)), flat_groups(numbers), &params, &args);
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
    let run = |rung: usize| {
        let y = g.array(&[n, heads.q * heads.dim]);
        let chunks = if rung == 2 { longest.div_ceil(CHUNK).max(1) } else { 1 };
        let out = if chunks == 1 { y.clone() } else { g.array(&[n * heads.q * chunks, heads.dim + 2]) };
        let args = [read(qkv), read(k), read(v), read_buffer(&slots), read_buffer(&positions), write(&out)];
        let [n32, q, kv, scale] = params(n, heads);
        let rest = if rung == 0 { [scale, window as u32] } else { [chunks as u32, scale] };
        let params = [[n32, q, kv, context as u32].as_slice(), &rest].concat();
        g.run(&cached(rung, &cached_consts(rung, heads.dim)), row_groups(n * heads.q * chunks), &params, &args);
        if chunks > 1 {
            let params = [y.len() as u32, chunks as u32];
            g.run(&cached_parts(&consts(0, heads.dim)), flat_groups(y.len()), &params, &[read(&out), write(&y)]);
        }
        drop(args);
        y
    };
    let windowed = window < longest; // which the base rung alone knows of
    let class = [log2(n), heads.dim as u32, heads.q as u32, heads.kv as u32, log2(longest), windowed as u32];
    let rung = g.chosen("attention_cached", class).unwrap_or_else(|| {
        let shaders = |rung: usize| {
            let fits = rung == 0 || !windowed && heads.dim.is_multiple_of(4) && heads.dim <= 256;
            fits.then(|| vec![cached(rung, &cached_consts(rung, heads.dim)).shader()])
        };
        let rungs = Rungs { kernel: "attention_cached", class, names: CACHED_RUNGS, usual: 0, shaders: &shaders };
        g.choose(&rungs, &mut |rung| vec![run(rung)])
    });
    run(rung)
}
