//! Drawing the next token: the arg max of logits / temperature plus Gumbel noise.
//!
//! The noise of token v in a row is word v % 4 of Philox(rng, [v / 4, position, stream, 0]): it depends on
//! the row's own stream and position, never on the batch it happens to be in.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::{Device, Rng, Tensor, shapes};

/// Sampling parameters: how the next token is drawn from the logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the smallest set of tokens with this much of the probability that `top_k` left; 1 for all.
    pub top_p: f32,
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0 };

    /// From softmax(logits / temperature), whole.
    pub fn temperature(temperature: f32) -> Sampling {
        Sampling { temperature, top_k: 0, top_p: 1.0 }
    }
}

/// Sampling: one token for each row of logits [R, V], with its log-probability under softmax(logits / temperature)
/// before any truncation (greedy: temperature 1). A row with NaN or infinity in it gives NaN. Waits for the device.
#[track_caller]
pub fn sample(logits: &Tensor, how: &Sampling, rng: Rng, streams: &[u32], positions: &[u32]) -> (Vec<u32>, Vec<f32>) {
    shapes!("sample takes logits [R, V]", logits [r, v]);
    assert!(streams.len() == r && positions.len() == r, "sample: one stream and one position for each of {r} rows");
    match logits.device() {
        Device::Cpu => cpu::sample(logits.data(), v, how, rng, streams, positions),
        Device::Gpu(g) => gpu::sample(&g, logits, how, rng, streams, positions),
    }
}
