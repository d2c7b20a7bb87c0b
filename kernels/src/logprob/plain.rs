//! The readable loops.
use crate::Float;

/// lp[n] = logits[n, ids[n]] − lse[n], lse[n] = ln Σ exp(logits[n])
pub fn logprob<F: Float>(logits: &[F], v: usize, ids: &[u32], lp: &mut [F], lse: &mut [F]) {
    for (n, row) in logits.chunks(v).enumerate() {
        let top = row.iter().copied().fold(row[0], F::max);
        lse[n] = top + row.iter().map(|&x| (x - top).exp()).sum::<F>().ln();
        lp[n] = row[ids[n] as usize] - lse[n];
    }
}

/// In the forward pass: lp = logits[id] − lse(logits). So dlogits = d·(1[id] − softmax).
pub fn logprob_back<F: Float>(d: &[F], logits: &mut [F], v: usize, ids: &[u32], lse: &[F]) {
    for (n, row) in logits.chunks_mut(v).enumerate() {
        for x in row.iter_mut() {
            *x = -d[n] * (*x - lse[n]).exp();
        }
        row[ids[n] as usize] += d[n];
    }
}

/// −Σ p ln p with ln p = logit − lse.
pub fn entropy<F: Float>(logits: &[F], v: usize, lse: &[F], h: &mut [F]) {
    for (n, row) in logits.chunks(v).enumerate() {
        h[n] = row.iter().map(|&x| -(x - lse[n]).exp() * (x - lse[n])).sum();
    }
}
