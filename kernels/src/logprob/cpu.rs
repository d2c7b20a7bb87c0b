//! Fast on the CPU: rows in parallel, exponentials in vector form.
use crate::cpu::math::{exp, max, sum_of, update};
use crate::cpu::par;
use crate::cpu::simd::per_isa;

pub fn logprob(logits: &[f32], v: usize, ids: &[u32], lp: &mut [f32], lse: &mut [f32]) {
    par::rows(ids.len(), par::grain(8 * v), [(lp, 1), (lse, 1)], |range, [lp, lse]| {
        for (i, n) in range.enumerate() {
            let row = &logits[n * v..][..v];
            lse[i] = log_sum_exp(row);
            lp[i] = row[ids[n] as usize] - lse[i];
        }
    });
}

/// In the forward pass: lp = logits[id] − lse(logits). So dlogits = d·(1[id] − softmax).
pub fn logprob_back(d: &[f32], logits: &mut [f32], v: usize, ids: &[u32], lse: &[f32]) {
    par::rows(ids.len(), par::grain(8 * v), [(logits, v)], |range, [rows]| {
        for (n, row) in range.zip(rows.chunks_exact_mut(v)) {
            if d[n] == 0.0 {
                row.fill(0.0);
            } else {
                minus_softmax(row, d[n], lse[n]);
                row[ids[n] as usize] += d[n];
            }
        }
    });
}

/// −Σ p ln p with ln p = logit − lse.
pub fn entropy(logits: &[f32], v: usize, lse: &[f32], h: &mut [f32]) {
    par::rows(lse.len(), par::grain(8 * v), [(h, 1)], |range, [h]| {
        for (n, h) in range.zip(h) {
            *h = entropy_row(&logits[n * v..][..v], lse[n]);
        }
    });
}

per_isa! {
    pub fn log_sum_exp(row: &[f32]) -> f32 {
        let top = max(row);
        top + sum_of(row, |x| exp(x - top)).ln()
    }

    fn minus_softmax(row: &mut [f32], d: f32, lse: f32) {
        update(row, |x| -d * exp(x - lse));
    }

    fn entropy_row(row: &[f32], lse: f32) -> f32 {
        sum_of(row, |x| -exp(x - lse) * (x - lse))
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn all_three() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, v) in [(1, 1), (3, 7), (65, 600), (5, 5003)] {
                let logits: Vec<f32> = noise(n * v, 1).iter().map(|x| 10.0 * x).collect();
                let mut d = noise(n, 2);
                d[n / 2] = 0.0;
                let ids: Vec<u32> = (0..n).map(|i| (i * 31 % v) as u32).collect();
                let (mut lp, mut lse, mut h) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
                let (mut lp64, mut lse64, mut h64) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
                let mut logits64 = wide(&logits);
                logprob(&logits, v, &ids, &mut lp, &mut lse);
                plain::logprob(&logits64, v, &ids, &mut lp64, &mut lse64);
                entropy(&logits, v, &lse, &mut h);
                plain::entropy(&logits64, v, &lse64, &mut h64);
                let name = |f| format!("{isa:?} {f} {n}×{v}");
                close(&name("lp"), &lp, &lp64, 1e-6);
                close(&name("lse"), &lse, &lse64, 1e-6);
                close(&name("entropy"), &h, &h64, 1e-5);
                let mut dlogits = logits.clone();
                logprob_back(&d, &mut dlogits, v, &ids, &lse);
                plain::logprob_back(&wide(&d), &mut logits64, v, &ids, &lse64);
                close(&name("back"), &dlogits, &logits64, 1e-6);
            }
        });
    }
}
