//! Causal attention on ragged batches, with grouped heads, without a T×T matrix; and over a KV cache.
//!
//! A row of `qkv` holds H query heads, then G key heads, then G value heads, each of size D. Scores are
//! scaled by 1/√D. Through a sliding window of W a token sees itself and the W - 1 before it.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Heads, Ids, Segments, Tensor, cpu::pool, shapes};

#[track_caller]
fn check(qkv: &Tensor, seg: &Segments, heads: Heads) -> usize {
    assert!(heads.q.is_multiple_of(heads.kv), "{heads:?}: query heads must be a multiple of key/value heads");
    let takes = || format!("attention of {heads:?} takes qkv [{}, {}]", seg.tokens(), heads.qkv());
    shapes!(takes(), qkv [n, c] if n == seg.tokens() && c == heads.qkv());
    n
}

/// A sliding window as a number: without one a token sees any number of tokens.
fn reach(sliding_window: Option<usize>) -> usize {
    sliding_window.unwrap_or(u32::MAX as usize)
}

/// Causal attention: each token attends to itself and those before it in its sequence, as far as the sliding window
/// reaches.
/// qkv [N, (H+2G)·D] → y [N, H·D] and the log-sum-exp of its scores [N, H]
#[track_caller]
pub fn attention(qkv: &Tensor, seg: &Segments, heads: Heads) -> (Tensor, Tensor) {
    let n = check(qkv, seg, heads);
    match qkv.device() {
        Device::Cpu => {
            let (mut y, mut lse) = (pool::take(n * heads.q * heads.dim), pool::take(n * heads.q));
            cpu::attention(qkv.data(), seg.starts().host(), reach(seg.sliding_window()), heads, &mut y, &mut lse);
            (Tensor::new(&[n, heads.q * heads.dim], y), Tensor::new(&[n, heads.q], lse))
        }
        Device::Gpu(g) => gpu::attention(&g, qkv, seg, heads),
    }
}

/// The gradient of [`attention`] by qkv; the probabilities are recomputed from `lse`.
/// dy and y [N, H·D], lse [N, H] → dqkv [N, (H+2G)·D]
#[track_caller]
pub fn attention_back(dy: &Tensor, qkv: &Tensor, y: &Tensor, lse: &Tensor, seg: &Segments, heads: Heads) -> Tensor {
    let n = check(qkv, seg, heads);
    shapes!("attention_back takes dy and y [N, H·D]", dy [..], y [..] if dy.shape() == [n, heads.q * heads.dim]);
    match same_device(&[dy, qkv, y, lse]) {
        Device::Cpu => {
            let mut dqkv = pool::take(qkv.len());
            let (starts, window) = (seg.starts().host(), reach(seg.sliding_window()));
            cpu::attention_back(dy.data(), qkv.data(), y.data(), lse.data(), starts, window, heads, &mut dqkv);
            Tensor::new(qkv.shape(), dqkv)
        }
        Device::Gpu(g) => gpu::attention_back(&g, dy, qkv, y, lse, seg, heads),
    }
}

#[track_caller]
fn check_cache(qkv: &Tensor, k: &Tensor, v: &Tensor, slots: &Ids, positions: &Ids, heads: Heads) -> [usize; 2] {
    let [columns, wide] = [heads.qkv(), heads.kv * heads.dim];
    let takes = || format!("attention over a cache takes qkv [N, {columns}], k and v [slots, T, {wide}]");
    let same = k.shape() == v.shape();
    shapes!(takes(), qkv [n, c], k [count, context, width], v [..] if c == columns && width == wide && same);
    assert!(slots.len() == n && positions.len() == n, "one slot and one position for each of {n} tokens");
    assert!(slots.host().iter().all(|&s| (s as usize) < count), "a slot beyond the cache {:?}", k.shape());
    assert!(positions.host().iter().all(|&p| (p as usize) < context), "a position beyond the cache {:?}", k.shape());
    [n, context]
}

/// Append to a KV cache: the keys and values of each token, to its slot and position.
/// k, v [slots, T, G·D], qkv [N, (H+2G)·D], slots and positions [N]
#[track_caller]
pub fn kv_append(k: &mut Tensor, v: &mut Tensor, qkv: &Tensor, slots: &Ids, positions: &Ids, heads: Heads) {
    let [_, context] = check_cache(qkv, k, v, slots, positions, heads);
    match same_device(&[k, v, qkv]) {
        Device::Cpu => {
            let (qkv, slots, positions) = (qkv.data(), slots.host(), positions.host());
            cpu::kv_append(k.data_mut(), v.data_mut(), qkv, slots, positions, context, heads)
        }
        Device::Gpu(g) => {
            k.unshare();
            v.unshare();
            gpu::kv_append(&g, k, v, qkv, slots, positions, heads)
        }
    }
}

/// Attention over a KV cache: each token attends to positions 0..=its own of its slot, as far as the sliding window
/// reaches: prefill (many tokens of a slot) and decode (one token a slot) alike. Append first.
/// qkv [N, (H+2G)·D], k and v [slots, T, G·D], slots and positions [N] → [N, H·D]
#[track_caller]
pub fn attention_cached(
    qkv: &Tensor,
    k: &Tensor,
    v: &Tensor,
    slots: &Ids,
    positions: &Ids,
    heads: Heads,
    sliding_window: Option<usize>,
) -> Tensor {
    let [n, context] = check_cache(qkv, k, v, slots, positions, heads);
    match same_device(&[qkv, k, v]) {
        Device::Cpu => {
            let mut y = pool::take(n * heads.q * heads.dim);
            let (slots, positions) = (slots.host(), positions.host());
            cpu::attention_cached(
                qkv.data(),
                k.data(),
                v.data(),
                slots,
                positions,
                context,
                heads,
                reach(sliding_window),
                &mut y,
            );
            Tensor::new(&[n, heads.q * heads.dim], y)
        }
        Device::Gpu(g) => gpu::attention_cached(&g, qkv, k, v, slots, positions, heads, reach(sliding_window)),
    }
}
