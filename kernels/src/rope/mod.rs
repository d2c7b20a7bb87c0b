//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in Hugging Face's half-split layout.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Heads, Ids, Tensor, cpu::pool, shapes};

/// The table of rotary embeddings: cos, then sin, of position·inv_freq, a row for each position. Made once, in f64, so
/// that every device rotates by the same angles.
/// R/2 frequencies → [positions, R]
pub fn rope_table(positions: usize, inv_freq: &[f64]) -> Vec<f32> {
    (0..positions)
        .flat_map(|p| {
            let angles = inv_freq.iter().map(move |f| p as f64 * f);
            angles.clone().map(|a| a.cos() as f32).chain(angles.map(|a| a.sin() as f32))
        })
        .collect()
}

/// Rotary position embedding: rotate the first R numbers of each query and key head by its row's position; the others
/// and the values pass through. `backwards` rotates the other way, which is the gradient.
/// qkv [N, (H+2G)·D], table [T, R], positions [N] → [N, (H+2G)·D]
#[track_caller]
pub fn rope(qkv: &Tensor, table: &Tensor, positions: &Ids, heads: Heads, backwards: bool) -> Tensor {
    let takes = || format!("rope of {heads:?} takes qkv [N, {}], table [T, even R <= D], positions [N]", heads.qkv());
    shapes!(takes(), qkv [n, c], table [t, turned], positions [count] if c == heads.qkv() && count == n);
    shapes!(takes(), table [..] if turned <= heads.dim && turned.is_multiple_of(2));
    if let Some(&far) = positions.host().iter().max() {
        assert!((far as usize) < t, "rope: position {far} in a table of {t}");
    }
    match same_device(&[qkv, table]) {
        Device::Cpu => {
            let mut y = pool::take(qkv.len());
            cpu::rope(qkv.data(), table.data(), turned, positions.host(), heads, backwards, &mut y);
            Tensor::new(qkv.shape(), y)
        }
        Device::Gpu(g) => gpu::rope(&g, qkv, table, positions, heads, backwards),
    }
}
