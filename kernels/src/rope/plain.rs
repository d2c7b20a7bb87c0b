//! The readable loop.
use crate::{Float, Heads};

/// Pairs (i, i + R/2) of every query and key head rotated by the angles of their row's position.
pub fn rope<F: Float>(
    qkv: &[F],
    table: &[F],
    turned: usize,
    positions: &[u32],
    heads: Heads,
    backwards: bool,
    y: &mut [F],
) {
    let (d, half, width) = (heads.dim, turned / 2, heads.qkv());
    y.copy_from_slice(qkv);
    for (row, &position) in y.chunks_mut(width).zip(positions) {
        let (cos, sin) = table[position as usize * turned..][..turned].split_at(half);
        for head in row[..(heads.q + heads.kv) * d].chunks_mut(d) {
            for j in 0..half {
                let (a, b) = (head[j], head[half + j]);
                let s = if backwards { -sin[j] } else { sin[j] };
                head[j] = a * cos[j] - b * s;
                head[half + j] = b * cos[j] + a * s;
            }
        }
    }
}
