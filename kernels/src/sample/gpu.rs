//! Through wgpu: the tokens and their log-probabilities come back in one read.
use super::Sampling;
use crate::gpu::{Gpu, Kernel, read, read_buffer, row_groups, wgsl, write_buffer};
use crate::{Rng, Tensor};
use std::sync::Arc;

const SAMPLE: Kernel = Kernel {
    name: "sample",
    parts: &[wgsl::GRID, wgsl::WORKGROUP, wgsl::PHILOX, include_str!("sample.wgsl")],
    consts: &[("THREADS", 128)],
};

pub fn sources() -> Vec<(String, String)> {
    crate::gpu::source_of(&[SAMPLE])
}

#[track_caller]
pub fn sample(
    g: &Arc<Gpu>,
    logits: &Tensor,
    how: &Sampling,
    rng: Rng,
    streams: &[u32],
    positions: &[u32],
) -> (Vec<u32>, Vec<f32>) {
    let [r, v] = logits.dims();
    let greedy = how.temperature == 0.0;
    let t = if greedy { 1.0 } else { how.temperature };
    let [key0, key1] = rng.key;
    let params = [r as u32, v as u32, key0, key1, greedy as u32, t.to_bits(), how.top_k as u32, how.top_p.to_bits()];
    let (streams, positions, out) = (g.upload(streams), g.upload(positions), g.empty(2 * r));
    let args = [read(logits), read_buffer(&streams), read_buffer(&positions), write_buffer(&out)];
    g.run(&SAMPLE, row_groups(r), &params, &args);
    let mut parts = g.read(&[(&out, 0..r), (&out, r..2 * r)]);
    let (logprobs, ids) = (parts.pop().expect("two"), parts.pop().expect("two"));
    (ids, logprobs.into_iter().map(f32::from_bits).collect())
}
