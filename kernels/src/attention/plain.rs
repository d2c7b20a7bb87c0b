//! The readable loops.
use crate::{Float, Heads};

/// Where query head h, and key and value head g, start in a row of qkv.
fn columns(heads: Heads, h: usize) -> (usize, usize, usize) {
    let (d, g) = (heads.dim, heads.kv_of(h));
    (h * d, (heads.q + g) * d, (heads.q + heads.kv + g) * d)
}

fn dot<F: Float>(a: &[F], b: &[F]) -> F {
    a.iter().zip(b).map(|(&a, &b)| a * b).sum()
}

fn scale<F: Float>(heads: Heads) -> F {
    F::of(1.0 / (heads.dim as f64).sqrt())
}

/// The first position that one at `i` sees through a window: itself and `window` - 1 before it.
fn first(i: usize, window: usize) -> usize {
    (i + 1).saturating_sub(window)
}

/// Softmax of `scores` in place; returns their log-sum-exp.
fn softmax<F: Float>(scores: &mut [F]) -> F {
    let top = scores.iter().copied().fold(scores[0], F::max);
    let mut sum = F::of(0.0);
    for s in scores.iter_mut() {
        *s = (*s - top).exp();
        sum += *s;
    }
    for s in scores.iter_mut() {
        *s = *s / sum;
    }
    top + sum.ln()
}

/// y and lse of every token; tokens of a sequence see themselves and what was before, within the window.
pub fn attention<F: Float>(qkv: &[F], starts: &[u32], window: usize, heads: Heads, y: &mut [F], lse: &mut [F]) {
    let (d, w) = (heads.dim, heads.qkv());
    y.fill(F::of(0.0));
    for bounds in starts.windows(2) {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        for i in start..end {
            for h in 0..heads.q {
                let (q, k, v) = columns(heads, h);
                let query = &qkv[i * w + q..][..d];
                let seen = start.max(first(i, window))..=i;
                let score = |j| dot(query, &qkv[j * w + k..][..d]) * scale(heads);
                let mut p: Vec<F> = seen.clone().map(score).collect();
                lse[i * heads.q + h] = softmax(&mut p);
                let y = &mut y[(i * heads.q + h) * d..][..d];
                for (j, &p) in seen.zip(&p) {
                    for c in 0..d {
                        y[c] += p * qkv[j * w + v + c];
                    }
                }
            }
        }
    }
}

/// In the forward pass: s = scale·q·k, p = exp(s − lse), y = Σ p·v.
pub fn attention_back<F: Float>(
    dy: &[F],
    qkv: &[F],
    y: &[F],
    lse: &[F],
    starts: &[u32],
    window: usize,
    heads: Heads,
    dqkv: &mut [F],
) {
    let (d, w) = (heads.dim, heads.qkv());
    dqkv.fill(F::of(0.0));
    for bounds in starts.windows(2) {
        let (start, end) = (bounds[0] as usize, bounds[1] as usize);
        for i in start..end {
            for h in 0..heads.q {
                let (q, k, v) = columns(heads, h);
                let out = (i * heads.q + h) * d;
                let dy = &dy[out..][..d];
                let delta = dot(dy, &y[out..][..d]);
                for j in start.max(first(i, window))..=i {
                    let score = dot(&qkv[i * w + q..][..d], &qkv[j * w + k..][..d]) * scale(heads);
                    let p = (score - lse[i * heads.q + h]).exp();
                    let dp = dot(dy, &qkv[j * w + v..][..d]);
                    let ds = p * (dp - delta) * scale(heads);
                    for c in 0..d {
                        dqkv[j * w + v + c] += p * dy[c];
                        dqkv[i * w + q + c] += ds * qkv[j * w + k + c];
                        dqkv[j * w + k + c] += ds * qkv[i * w + q + c];
                    }
                }
            }
        }
    }
}

/// Each row's keys and values to its slot and position.
pub fn kv_append<F: Float>(
    k: &mut [F],
    v: &mut [F],
    qkv: &[F],
    slots: &[u32],
    positions: &[u32],
    context: usize,
    heads: Heads,
) {
    let (width, w) = (heads.kv * heads.dim, heads.qkv());
    for (n, row) in qkv.chunks(w).enumerate() {
        let at = (slots[n] as usize * context + positions[n] as usize) * width;
        let keys = heads.q * heads.dim;
        k[at..at + width].copy_from_slice(&row[keys..keys + width]);
        v[at..at + width].copy_from_slice(&row[keys + width..]);
    }
}

/// y of every token over the cache of its slot.
pub fn attention_cached<F: Float>(
    qkv: &[F],
    k: &[F],
    v: &[F],
    slots: &[u32],
    positions: &[u32],
    context: usize,
    heads: Heads,
    window: usize,
    y: &mut [F],
) {
    let (d, width, w) = (heads.dim, heads.kv * heads.dim, heads.qkv());
    y.fill(F::of(0.0));
    for (n, row) in qkv.chunks(w).enumerate() {
        let slot = slots[n] as usize * context;
        for h in 0..heads.q {
            let query = &row[h * d..][..d];
            let at = |j: usize| (slot + j) * width + heads.kv_of(h) * d;
            let seen = first(positions[n] as usize, window)..=positions[n] as usize;
            let mut p: Vec<F> = seen.clone().map(|j| dot(query, &k[at(j)..][..d]) * scale(heads)).collect();
            softmax(&mut p);
            let y = &mut y[(n * heads.q + h) * d..][..d];
            for (j, &p) in seen.zip(&p) {
                for c in 0..d {
                    y[c] += p * v[at(j) + c];
                }
            }
        }
    }
}
