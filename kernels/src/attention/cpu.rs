//! Fast on the CPU: a task for each (segment, head), small matrix products inside.
//!
//! The queries of a head pass in blocks of `QUERIES`; the scores of a block against all keys up to its last query
//! are the only T-sized thing there is, and stay in the cache. Keys (and values, on the way back) are transposed once
//! a head, so that every product reads dense rows.
use crate::Heads;
use crate::cpu::gemm::{Beta, Matrix, gemm_here, skinny_here, transpose};
use crate::cpu::math::{LANES, add_lanes, exp, ln, max, sum_of_pairs};
use crate::cpu::par::{self, Block};
use crate::cpu::pool::{self, Pooled};
use crate::cpu::simd::per_isa;
use crate::cpu::thread_pool;
use std::ops::Range;

/// Queries to a block: more waste more on the upper triangle, fewer make thin products.
const QUERIES: usize = 48;

fn scale(heads: Heads) -> f32 {
    (1.0 / (heads.dim as f64).sqrt()) as f32
}

/// The rows of one segment of a row-major matrix `width` wide, from `column` on.
fn columns<'a>(x: &'a [f32], width: usize, rows: &Range<usize>, column: usize) -> Matrix<'a> {
    Matrix::new(&x[rows.start * width + column..], width)
}

/// The transpose of T rows, D columns: [D, T], its rows padded to whole lanes.
fn transposed(x: Matrix, t: usize, d: usize) -> Pooled {
    let mut out = pool::take(d * padded(t));
    transpose(x.data, x.row, t, d, &mut out, padded(t));
    out.into()
}

/// Rows of scores are padded to whole lanes.
fn padded(t: usize) -> usize {
    t.next_multiple_of(LANES)
}

/// The first position that one at `i` sees: itself and `window` - 1 before it.
fn first_seen(i: usize, window: usize) -> usize {
    (i + 1).saturating_sub(window)
}

/// What the queries of one head look at: keys transposed [D, T], values [T, D].
struct Seen<'a> {
    keys: Pooled,
    values: Matrix<'a>,
    t: usize,
    d: usize,
    window: usize,
    scale: f32,
}

impl<'a> Seen<'a> {
    fn new(keys: Matrix, values: Matrix<'a>, t: usize, heads: Heads, window: usize) -> Seen<'a> {
        Seen { keys: transposed(keys, t, heads.dim), values, t, d: heads.dim, window, scale: scale(heads) }
    }

    /// y of queries at the last positions 0..T, and their log-sum-exps, given to `lse` with their row.
    fn attend(&self, q: Matrix, mut y: Block, mut lse: impl FnMut(usize, f32)) {
        let [count, d] = y.size();
        let before = self.t - count;
        let mut scores = Pooled::from(pool::take(QUERIES.min(count) * padded(self.t)));
        for from in (0..count).step_by(QUERIES) {
            let n = QUERIES.min(count - from);
            let first = first_seen(before + from, self.window);
            let seen = before + from + n - first; // positions that these queries see between them
            let width = padded(seen);
            let p = &mut scores[..n * width];
            let q = Matrix::new(&q.data[from * q.row..], q.row);
            let keys = Matrix::new(&self.keys[first..], padded(self.t));
            let values = Matrix::new(&self.values.data[first * self.values.row..], self.values.row);
            gemm_here(self.d, q, keys, Beta::Zero, Block::new(p, seen, width)); // [n, D] [D, seen]
            let (mut sums, mut lses) = ([1.0; QUERIES], [0.0; QUERIES]);
            exp_rows(p, width, before + from - first, self.window, self.scale, &mut sums, &mut lses);
            gemm_here(seen, Matrix::new(p, width), values, Beta::Zero, y.part(from..from + n, 0..d)); // [n, seen] [seen, D]
            for r in 0..n {
                let divide = 1.0 / sums[r];
                y.row(from + r).iter_mut().for_each(|y| *y *= divide);
                lse(from + r, lses[r]);
            }
        }
    }
}

pub fn attention(qkv: &[f32], starts: &[u32], window: usize, heads: Heads, y: &mut [f32], lse: &mut [f32]) {
    let (d, w) = (heads.dim, heads.qkv());
    let parts: Vec<_> = (0..heads.q).map(|h| [(0, h * d..(h + 1) * d), (1, h..h + 1)]).collect();
    par::grid(starts, [(y, heads.q * d), (lse, heads.q)], &parts, |rows, h, [y, mut lse]| {
        if rows.is_empty() {
            return;
        }
        let g = heads.kv_of(h);
        let keys = columns(qkv, w, &rows, (heads.q + g) * d);
        let values = columns(qkv, w, &rows, (heads.q + heads.kv + g) * d);
        let seen = Seen::new(keys, values, rows.len(), heads, window);
        seen.attend(columns(qkv, w, &rows, h * d), y, |row, value| lse.row(row)[0] = value);
    });
}

/// In the forward pass: s = scale·q·k, p = exp(s − lse), y = Σ p·v.
pub fn attention_back(
    dy: &[f32],
    qkv: &[f32],
    y: &[f32],
    lse: &[f32],
    starts: &[u32],
    window: usize,
    heads: Heads,
    dqkv: &mut [f32],
) {
    let (d, w, group) = (heads.dim, heads.qkv(), heads.q / heads.kv);
    let out = heads.q * d;
    // A task owns a key/value head and the queries that read it.
    let part = |g: usize| {
        let (k, v) = ((heads.q + g) * d, (heads.q + heads.kv + g) * d);
        [(0, g * group * d..(g + 1) * group * d), (0, k..k + d), (0, v..v + d)]
    };
    let parts: Vec<_> = (0..heads.kv).map(part).collect();
    par::grid(starts, [(dqkv, w)], &parts, |rows, g, [mut dq, mut dk, mut dv]| {
        let t = rows.len();
        let k = columns(qkv, w, &rows, (heads.q + g) * d);
        let keys = transposed(k, t, d);
        let values = transposed(columns(qkv, w, &rows, (heads.q + heads.kv + g) * d), t, d);
        for i in 0..t {
            dk.row(i).fill(0.0);
            dv.row(i).fill(0.0);
        }
        let size = QUERIES * padded(t);
        let (mut p, mut ds) = (Pooled::from(pool::take(size)), Pooled::from(pool::take(size)));
        for (i, h) in (g * group..(g + 1) * group).enumerate() {
            let (q, dy, y) =
                (columns(qkv, w, &rows, h * d), columns(dy, out, &rows, h * d), columns(y, out, &rows, h * d));
            for from in (0..t).step_by(QUERIES) {
                let (first, to) = (first_seen(from, window), t.min(from + QUERIES));
                let (seen, n) = (to - first, to - from);
                let width = padded(seen);
                let (p, ds) = (&mut p[..n * width], &mut ds[..n * width]);
                let (q, dy) = (Matrix::new(&q.data[from * w..], w), Matrix::new(&dy.data[from * out..], out));
                gemm_here(d, q, Matrix::new(&keys[first..], padded(t)), Beta::Zero, Block::new(p, seen, width));
                gemm_here(d, dy, Matrix::new(&values[first..], padded(t)), Beta::Zero, Block::new(ds, seen, width)); // dp = dy vᵀ
                let mut of_row = [(0.0, 0.0); QUERIES];
                for (r, of_row) in of_row[..n].iter_mut().enumerate() {
                    let (dy, y) = (&dy.data[r * out..][..d], &y.data[(from + r) * out..][..d]);
                    *of_row = (lse[(rows.start + from + r) * heads.q + h], sum_of_pairs(dy, y, |dy, y| dy * y));
                }
                back_rows(p, ds, width, from - first, window, scale(heads), &of_row);
                let (p, ds) = (Matrix::new(p, width), Matrix::new(ds, width));
                let k = Matrix::new(&k.data[first * w..], w);
                gemm_here(n, p.transposed(), dy, Beta::One, dv.part(first..to, 0..d)); // dv += pᵀ dy
                gemm_here(n, ds.transposed(), q, Beta::One, dk.part(first..to, 0..d)); // dk += dsᵀ q
                gemm_here(seen, ds, k, Beta::Zero, dq.part(from..to, i * d..(i + 1) * d)); // dq = ds k
            }
        }
    });
}

pub fn kv_append(
    k: &mut [f32],
    v: &mut [f32],
    qkv: &[f32],
    slots: &[u32],
    positions: &[u32],
    context: usize,
    heads: Heads,
) {
    super::plain::kv_append(k, v, qkv, slots, positions, context, heads); // copies only
}

pub fn attention_cached(
    qkv: &[f32],
    k: &[f32],
    v: &[f32],
    slots: &[u32],
    positions: &[u32],
    context: usize,
    heads: Heads,
    window: usize,
    y: &mut [f32],
) {
    let (d, width, w, group) = (heads.dim, heads.kv * heads.dim, heads.qkv(), heads.q / heads.kv);
    // A task for each run of tokens that follow each other in one slot (a prompt, or the one token of a decoding
    // step), and each key/value head; or, where there are many single tokens, all heads, whose rows lie together.
    let follows = |n: usize| slots[n] == slots[n - 1] && positions[n] == positions[n - 1] + 1;
    let mut runs = vec![0];
    runs.extend((1..slots.len()).filter(|&n| !follows(n)).map(|n| n as u32));
    runs.push(slots.len() as u32);
    let single = runs.len() - 1 == slots.len();
    let share = if single && slots.len() >= 4 * thread_pool::threads() { heads.kv } else { 1 };
    let parts: Vec<_> = (0..heads.kv).step_by(share).map(|g| [(0, g * group * d..(g + share) * group * d)]).collect();
    par::grid(&runs, [(y, heads.q * d)], &parts, |rows, part, [mut y]| {
        let Some(&last) = positions[rows.clone()].last() else { return };
        let (first, slot) = (first_seen(positions[rows.start] as usize, window), slots[rows.start] as usize * context);
        let seen = last as usize + 1 - first;
        let mut scores = Pooled::from(pool::take(group * padded(seen)));
        for g in part * share..(part + 1) * share {
            let [keys, values] = [k, v].map(|x| columns(x, width, &(slot + first..slot + first + seen), g * d));
            let at = (g - part * share) * group * d;
            if rows.len() == 1 {
                let q = Matrix::new(&qkv[rows.start * w + g * group * d..], d);
                let y = Block::new(&mut y.row(0)[at..at + group * d], d, d);
                attend_one(q, keys, values, seen, scale(heads), &mut scores, y);
                continue;
            }
            let seen = Seen::new(keys, values, seen, heads, window);
            for h in 0..group {
                let (q, at) = (columns(qkv, w, &rows, (g * group + h) * d), at + h * d);
                seen.attend(q, y.part(0..rows.len(), at..at + d), |_, _| ());
            }
        }
    });
}

/// y [H, D] of the heads q [H, D] of one token that share keys and values [seen, D], read where they lie.
fn attend_one(q: Matrix, keys: Matrix, values: Matrix, seen: usize, scale: f32, scores: &mut [f32], mut y: Block) {
    let ([heads, d], width) = (y.size(), padded(seen));
    skinny_here(d, q, keys, Block::new(scores, seen, width));
    scores.chunks_exact_mut(width).for_each(|row| weights(row, seen, scale));
    gemm_here(seen, Matrix::new(scores, width), values, Beta::Zero, y.part(0..heads, 0..d));
}

per_isa! {
    /// The raw scores of all `seen` positions become what their values weigh.
    fn weights(scores: &mut [f32], seen: usize, scale: f32) {
        scores[seen..].fill(f32::NEG_INFINITY);
        let (_, sum) = softmax(scores, scale);
        let divide = 1.0 / sum;
        scores.iter_mut().for_each(|p| *p *= divide);
    }

    /// Row r holds the raw scores of query `first` + r. Turns them into exp(scale·s − top), zero beyond the query
    /// itself and before its window, and returns the sum and the log-sum-exp of each row.
    fn exp_rows(scores: &mut [f32], width: usize, first: usize, window: usize, scale: f32, sums: &mut [f32; QUERIES], lses: &mut [f32; QUERIES]) {
        let mut tops = [0.0; QUERIES];
        for (r, row) in scores.chunks_exact_mut(width).enumerate() {
            row[first + r + 1..].fill(f32::NEG_INFINITY);
            row[..first_seen(first + r, window)].fill(f32::NEG_INFINITY);
            (tops[r], sums[r]) = softmax(row, scale);
        }
        for r in 0..QUERIES {
            lses[r] = tops[r] + ln(sums[r]);
        }
    }

    /// p: raw scores → exp(scale·s − lse). ds: dp → p·(dp − delta)·scale. `of_row` is (lse, delta).
    fn back_rows(p: &mut [f32], ds: &mut [f32], width: usize, first: usize, window: usize, scale: f32, of_row: &[(f32, f32)]) {
        let rows = p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width));
        for (r, ((p, ds), &(lse, delta))) in rows.zip(of_row).enumerate() {
            p[first + r + 1..].fill(f32::NEG_INFINITY);
            ds[first + r + 1..].fill(0.0);
            let before = first_seen(first + r, window);
            p[..before].fill(f32::NEG_INFINITY);
            ds[..before].fill(0.0);
            for (p, ds) in p.as_chunks_mut::<LANES>().0.iter_mut().zip(ds.as_chunks_mut::<LANES>().0) {
                for i in 0..LANES {
                    p[i] = exp(p[i] * scale - lse);
                    ds[i] = p[i] * (ds[i] - delta) * scale;
                }
            }
        }
    }
}

/// exp(scale·s − top) in place, not yet divided by the sum. Returns the top of scale·s and the sum.
/// Works on whole lanes.
#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) -> (f32, f32) {
    let top = max(row) * scale;
    let mut lanes = [0.0; LANES];
    for chunk in row.as_chunks_mut::<LANES>().0 {
        for i in 0..LANES {
            chunk[i] = exp(chunk[i] * scale - top);
            lanes[i] += chunk[i];
        }
    }
    (top, add_lanes(lanes))
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    const HEADS: [Heads; 4] = [
        Heads { q: 1, kv: 1, dim: 1 },
        Heads { q: 2, kv: 2, dim: 16 },
        Heads { q: 4, kv: 2, dim: 6 },
        Heads { q: 3, kv: 1, dim: 33 },
    ];

    const WIDE: usize = u32::MAX as usize;

    #[test]
    fn forward_and_backward_on_ragged_batches() {
        crate::cpu::simd::each_isa(|isa| {
            for heads in HEADS {
                for (starts, window) in
                    [(&[0, 1][..], WIDE), (&[0, 5, 5, 30, 31, 131], WIDE), (&[0, 5, 5, 30, 31, 131], 7), (&[0, 131], 1)]
                {
                    let n = *starts.last().unwrap() as usize;
                    let (qkv, dy) = (noise(n * heads.qkv(), 1), noise(n * heads.q * heads.dim, 2));
                    let qkv: Vec<f32> = qkv.iter().map(|x| 3.0 * x).collect();
                    let (mut y, mut lse) = (vec![f32::NAN; dy.len()], vec![0.0; n * heads.q]);
                    let (mut y64, mut lse64) = (vec![0.0; dy.len()], vec![0.0; n * heads.q]);
                    attention(&qkv, starts, window, heads, &mut y, &mut lse);
                    plain::attention(&wide(&qkv), starts, window, heads, &mut y64, &mut lse64);
                    close(&format!("{isa:?} y {heads:?}"), &y, &y64, 1e-5);
                    close(&format!("{isa:?} lse {heads:?}"), &lse, &lse64, 1e-5);

                    let (mut dqkv, mut want) = (vec![f32::NAN; qkv.len()], vec![0.0; qkv.len()]);
                    attention_back(&dy, &qkv, &y, &lse, starts, window, heads, &mut dqkv);
                    plain::attention_back(&wide(&dy), &wide(&qkv), &y64, &lse64, starts, window, heads, &mut want);
                    close(&format!("{isa:?} dqkv {heads:?}"), &dqkv, &want, 5e-5);
                }
            }
        });
    }

    #[test]
    fn over_a_cache() {
        crate::cpu::simd::each_isa(|isa| {
            for heads in HEADS {
                let (slots, positions, context) = ([2, 0, 2, 2, 2, 1, 1], [39, 0, 5, 6, 7, 17, 19], 40);
                let width = heads.kv * heads.dim;
                let qkv = noise(7 * heads.qkv(), 1);
                let (k, v) = (noise(3 * context * width, 2), noise(3 * context * width, 3));
                let (mut y, mut want) = (vec![f32::NAN; 7 * heads.q * heads.dim], vec![0.0; 7 * heads.q * heads.dim]);
                for window in [WIDE, 8, 1] {
                    attention_cached(&qkv, &k, &v, &slots, &positions, context, heads, window, &mut y);
                    let (k, v) = (wide(&k), wide(&v));
                    plain::attention_cached(&wide(&qkv), &k, &v, &slots, &positions, context, heads, window, &mut want);
                    close(&format!("{isa:?} {heads:?}"), &y, &want, 1e-5);
                }
            }
        });
    }
}
