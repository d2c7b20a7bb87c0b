//! Through wgpu: the tokens and their log-probabilities come back in one read.
use super::Sampling;
use crate::gpu::{Gpu, RowKernel, RowRung, compiled, read, read_buffer, row_chunks, row_groups, write_buffer};
use crate::{Rng, Tensor};
use std::sync::Arc;

const SAMPLE: RowKernel = RowKernel {
    name: "sample",
    body: concat!(include_str!("../gpu/philox.wgsl"), include_str!("sample.wgsl")),
    consts: &[],
    default: RowRung::tree(128),
};

pub fn sources() -> Vec<(String, String)> {
    SAMPLE.sources()
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
    let (streams, positions, out) = (g.upload(streams), g.upload(positions), g.empty(2 * r));
    for rows in row_chunks(g, r, v) {
        let logits = logits.rows(rows.clone());
        let numbers = [rows.len() as u32, v as u32, key0, key1, greedy as u32, t.to_bits(), how.top_k as u32];
        let params: Vec<u32> = numbers.into_iter().chain([how.top_p.to_bits(), rows.start as u32, r as u32]).collect();
        let args = [read(&logits), read_buffer(&streams), read_buffer(&positions), write_buffer(&out)];
        compiled(SAMPLE.try_run(g, SAMPLE.default, row_groups(rows.len()), &params, &args));
    }
    let mut parts = g.read(&[(&out, 0..r), (&out, r..2 * r)]);
    let (logprobs, ids) = (parts.pop().expect("two"), parts.pop().expect("two"));
    (ids, logprobs.into_iter().map(f32::from_bits).collect())
}
