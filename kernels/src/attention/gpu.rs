//! Through wgpu. The head size D is a constant of the shader: private arrays are sized by it.
use crate::gpu::{Gpu, Kernel, flat_groups, read, read_buffer, row_groups, source_of, wgsl, write};
use crate::{Heads, Ids, Segments, Tensor};
use std::sync::Arc;

type Consts<'a> = &'a [(&'static str, u32)];
/// Rows a workgroup of the flash kernels owns, as in common.wgsl.
const ROWS: usize = 64;
const COMMON: &str = include_str!("common.wgsl");

fn forward(consts: Consts) -> Kernel {
    Kernel { name: "attention", parts: &[COMMON, include_str!("attention.wgsl")], consts }
}
fn back_q(consts: Consts) -> Kernel {
    Kernel { name: "attention_back_q", parts: &[COMMON, include_str!("back_q.wgsl")], consts }
}
fn back_kv(consts: Consts) -> Kernel {
    Kernel { name: "attention_back_kv", parts: &[COMMON, include_str!("back_kv.wgsl")], consts }
}
fn cached(consts: Consts) -> Kernel {
    Kernel { name: "attention_cached", parts: &[wgsl::GRID, wgsl::WORKGROUP, include_str!("cached.wgsl")], consts }
}
fn append(consts: Consts) -> Kernel {
    Kernel { name: "kv_append", parts: &[wgsl::GRID, include_str!("append.wgsl")], consts }
}

pub fn sources() -> Vec<(String, String)> {
    let sizes = [2, 5, 16, 32, 64, 80, 128, 256];
    let of = |d| {
        let (flash, threads) = ([("D", d)], [("D", d), ("THREADS", 64)]);
        source_of(&[forward(&flash), back_q(&flash), back_kv(&flash), cached(&threads), append(&flash)])
    };
    sizes.into_iter().flat_map(of).collect()
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
    let (y, lse) = (g.array(&[n, heads.q * heads.dim]), g.array(&[n, heads.q]));
    let first = seg.first().on(g);
    let args = [read(qkv), read_buffer(&first), write(&y), write(&lse)];
    g.run(&forward(&[("D", heads.dim as u32)]), grid(n, heads.q), &params(n, heads), &args);
    (y, lse)
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
    let (consts, first) = ([("D", heads.dim as u32)], seg.first().on(g));
    let (dqkv, delta) = (g.array(qkv.shape()), g.array(&[n, heads.q]));
    let args = [read(qkv), read_buffer(&first), read(y), read(dy), read(lse), write(&dqkv), write(&delta)];
    g.run(&back_q(&consts), grid(n, heads.q), &params(n, heads), &args);
    let args = [read(qkv), read_buffer(&first), read(dy), read(lse), read(&delta), write(&dqkv)];
    g.run(&back_kv(&consts), grid(n, heads.kv), &params(n, heads), &args);
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
    g.run(&append(&[("D", heads.dim as u32)]), flat_groups(numbers), &params, &args);
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
    let y = g.array(&[n, heads.q * heads.dim]);
    let (slots, positions) = (slots.on(g), positions.on(g));
    let args = [read(qkv), read(k), read(v), read_buffer(&slots), read_buffer(&positions), write(&y)];
    let [n32, q, kv, scale] = params(n, heads);
    let consts = [("D", heads.dim as u32), ("THREADS", 64)];
    g.run(&cached(&consts), row_groups(n * heads.q), &[n32, q, kv, context as u32, scale, window as u32], &args);
    y
}
