//! The readable loops.
use crate::Float;

/// y[r] = w[ids[r]], rows of c numbers
pub fn index_select<F: Float>(w: &[F], c: usize, ids: &[u32], y: &mut [F]) {
    for (y, &id) in y.chunks_mut(c).zip(ids) {
        y.copy_from_slice(&w[id as usize * c..][..c]);
    }
}

/// Of a table in bf16, two numbers to a word.
pub fn index_select_bf16(words: &[u32], c: usize, ids: &[u32], y: &mut [f32]) {
    for (y, &id) in y.chunks_mut(c).zip(ids) {
        for (j, y) in y.iter_mut().enumerate() {
            let i = id as usize * c + j;
            *y = f32::from_bits((words[i / 2] >> (16 * (i % 2))) << 16);
        }
    }
}

/// dw[ids[r]] += dy[r], from zero
pub fn index_select_back<F: Float>(dy: &[F], c: usize, ids: &[u32], dw: &mut [F]) {
    dw.fill(F::of(0.0));
    for (dy, &id) in dy.chunks(c).zip(ids) {
        for (dw, &dy) in dw[id as usize * c..][..c].iter_mut().zip(dy) {
            *dw += dy;
        }
    }
}
