//! Rotary position embedding (Su et al. 2021, arXiv 2104.09864) in Hugging Face's half-split layout.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::tensor::same_device;
use crate::{Device, Heads, Ids, Tensor, cpu::pool};

/// cos, then sin, of position·inv_freq: a row [D/2 + D/2] for each position. Made once, in f64, so that
/// every device rotates by the same angles. → [positions, D]
pub fn rope_table(positions: usize, inv_freq: &[f64]) -> Vec<f32> {
    (0..positions)
        .flat_map(|p| {
            let angles = inv_freq.iter().map(move |f| p as f64 * f);
            angles.clone().map(|a| a.cos() as f32).chain(angles.map(|a| a.sin() as f32))
        })
        .collect()
}

/// Rotate the query and key heads of each row by its position; values pass through.
/// qkv [N, (H+2G)·D], table [T, D], positions [N] → [N, (H+2G)·D]. `backwards` rotates the other way,
/// which is the gradient.
#[track_caller]
pub fn rope(qkv: &Tensor, table: &Tensor, positions: &Ids, heads: Heads, backwards: bool) -> Tensor {
    let ([n, c], [t, d]) = (qkv.dims(), table.dims());
    assert!(c == heads.qkv() && d == heads.dim, "rope: qkv {:?}, table {:?}, {heads:?}", qkv.shape(), table.shape());
    assert_eq!(n, positions.len(), "rope: one position a row");
    if let Some(&far) = positions.host().iter().max() {
        assert!((far as usize) < t, "rope: position {far} in a table of {t}");
    }
    match same_device(&[qkv, table]) {
        Device::Cpu => {
            let mut y = pool::take(qkv.len());
            cpu::rope(qkv.data(), table.data(), positions.host(), heads, backwards, &mut y);
            Tensor::new(qkv.shape(), y)
        }
        Device::Gpu(g) => gpu::rope(&g, qkv, table, positions, heads, backwards),
    }
}
