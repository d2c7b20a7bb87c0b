//! A few rows times Wᵀ: decoding. Bound by memory, so every weight is read once, where it lies, for all rows.
//!
//! A tile is some rows of x times some rows of W, each sum in lanes along K that are joined at the end. Weights stored
//! in bf16 are words of two numbers; the rows of x are then split into their even and their odd numbers.

use super::{ONE_THREAD, Start};
use crate::cpu::math::{LANES, add_lanes};
use crate::cpu::par::{self, Block};
use crate::cpu::pool;
use crate::cpu::simd::{Level, level, per_level};
use std::ops::Range;

/// What this is for: with more rows, packing pays.
pub const FEW: usize = 16;
/// The same for weights in bf16, which would have to be unpacked too.
pub const FEW_STORED: usize = 64;
/// Columns of C to a task.
const GRAIN: usize = 32;
/// Rows of x to a tile; of W as many.
const SIDE: usize = 4;

/// W [n, k] as it is stored.
#[derive(Clone, Copy)]
pub enum Stored<'a> {
    F32(&'a [f32]),
    /// Two numbers to a word, k even.
    Bf16(&'a [u32]),
}

/// c [m, n] = start + x [m, k] · wᵀ
pub fn few([m, n, k]: [usize; 3], x: &[f32], w: Stored, start: Start, c: &mut [f32]) {
    let (data, words) = match w {
        Stored::F32(w) => (w, k),
        Stored::Bf16(w) => (bytemuck::cast_slice(w), k / 2),
    };
    let halves = words < k;
    assert!(x.len() == m * k && data.len() == n * words && (!halves || k % 2 == 0), "{m} × {n} × {k}");
    let width = words.next_multiple_of(LANES);
    let x = lay_out(x, k, width, halves);
    let row = if halves { 2 * width } else { width };
    let few = Few { x: &x, row, w: data, words, halves, start };
    let grain = if m * n * k < ONE_THREAD { n.max(1) } else { GRAIN };
    let parts: Vec<_> = (0..n).step_by(grain).map(|j| [(0, j..n.min(j + grain))]).collect();
    par::grid(&[0, m as u32], [(c, n)], &parts, |_, part, [c]| few.columns(parts[part][0].1.clone(), c));
    pool::give(x);
}

/// Rows of x padded with zeros to whole lanes; for words the even numbers of a row, then the odd ones.
fn lay_out(x: &[f32], k: usize, width: usize, halves: bool) -> Vec<f32> {
    let mut out = pool::zeros(x.len() / k.max(1) * width * if halves { 2 } else { 1 });
    if k == 0 {
        return out;
    }
    match halves {
        false => x.chunks_exact(k).zip(out.chunks_exact_mut(width)).for_each(|(x, out)| out[..k].copy_from_slice(x)),
        true => {
            for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(2 * width)) {
                let (even, odd) = out.split_at_mut(width);
                for ((pair, even), odd) in x.as_chunks::<2>().0.iter().zip(even).zip(odd) {
                    [*even, *odd] = *pair;
                }
            }
        }
    }
    out
}

struct Few<'a> {
    x: &'a [f32],
    /// From one row of x to the next.
    row: usize,
    w: &'a [f32],
    /// To a row of W, numbers or pairs.
    words: usize,
    halves: bool,
    start: Start<'a>,
}

impl Few<'_> {
    /// Some columns of C. Rows of W, once fetched, serve all rows of x from the cache.
    fn columns(&self, columns: Range<usize>, mut c: Block) {
        let rows = c.size()[0];
        for j in columns.clone().step_by(SIDE) {
            let across = SIDE.min(columns.end - j);
            // beyond the last column the last one again, not to be stored
            let w = std::array::from_fn(|b| &self.w[(j + b.min(across - 1)) * self.words..][..self.words]);
            for i in (0..rows).step_by(SIDE) {
                let down = SIDE.min(rows - i);
                let x = |a: usize| &self.x[(i + a.min(down - 1)) * self.row..][..self.row];
                let mut sums = [[0.0; SIDE]; SIDE];
                match down {
                    1 => sums[0] = self.tile([x(0)], w)[0],
                    2 => sums[..2].copy_from_slice(&self.tile([x(0), x(1)], w)),
                    _ => sums = self.tile([x(0), x(1), x(2), x(3)], w),
                }
                for (a, sums) in sums[..down].iter().enumerate() {
                    let c = &mut c.row(i + a)[j - columns.start..][..across];
                    for (b, (c, sum)) in c.iter_mut().zip(sums).enumerate() {
                        *c = sum
                            + match self.start {
                                Start::Zero => 0.0,
                                Start::Old => *c,
                                Start::Bias(bias) => bias[j + b],
                            };
                    }
                }
            }
        }
    }

    fn tile<const X: usize>(&self, x: [&[f32]; X], w: [&[f32]; SIDE]) -> [[f32; SIDE]; X] {
        match level() {
            // SAFETY: `level` only returns what was found on this machine.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if self.halves => unsafe { avx512::<X, true>(x, w) },
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::<X, false>(x, w) },
            _ => x.map(|x| w.map(|w| if self.halves { dot_of_pairs(x, w) } else { dot(x, w) })),
        }
    }
}

per_level! {
    /// x is padded with zeros to whole lanes.
    fn dot(x: &[f32], w: &[f32]) -> f32 {
        let mut sum = [0.0; LANES];
        let (whole, rest) = w.as_chunks::<LANES>();
        let (x, x_rest) = (x.as_chunks::<LANES>().0, &x[whole.len() * LANES..]);
        for (x, w) in x.iter().zip(whole) {
            for l in 0..LANES {
                sum[l] += x[l] * w[l];
            }
        }
        for (l, (x, w)) in x_rest.iter().zip(rest).enumerate() {
            sum[l] += x * w;
        }
        add_lanes(sum)
    }

    /// The words of w are pairs of bf16; x holds the even numbers, then the odd ones.
    fn dot_of_pairs(x: &[f32], w: &[f32]) -> f32 {
        let mut sum = [0.0; LANES];
        let (even, odd) = x.split_at(x.len() / 2);
        let halves = |w: f32| (f32::from_bits(w.to_bits() << 16), f32::from_bits(w.to_bits() & 0xffff_0000));
        for ((even, odd), w) in even.chunks(LANES).zip(odd.chunks(LANES)).zip(w.chunks(LANES)) {
            for l in 0..w.len() {
                let (low, high) = halves(w[l]);
                sum[l] += even[l] * low;
                sum[l] += odd[l] * high;
            }
        }
        add_lanes(sum)
    }
}

/// The lanes of X × SIDE sums in registers; see `dot` and `dot_of_pairs`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const X: usize, const HALVES: bool>(x: [&[f32]; X], w: [&[f32]; SIDE]) -> [[f32; SIDE]; X] {
    use std::arch::x86_64::*;
    let (words, odd) = (w[0].len(), x[0].len() / 2);
    let mut sum = [[_mm512_setzero_ps(); SIDE]; X];
    for at in (0..words).step_by(LANES) {
        let mask: __mmask16 = if words - at >= LANES { 0xffff } else { 0xffff >> (LANES - (words - at)) };
        // SAFETY: a row of W has `words` numbers, and one of x (or each of its halves) that many in whole lanes.
        unsafe {
            // What the next tile reads: the hardware stops at the end of a row.
            for w in &w {
                _mm_prefetch::<_MM_HINT_T0>(w.as_ptr().wrapping_add(at + SIDE * words) as *const i8);
            }
            // Loops, not `map`: a closure given to it would not be compiled with these instructions.
            let mut row = [_mm512_setzero_ps(); SIDE];
            for b in 0..SIDE {
                row[b] = _mm512_maskz_loadu_ps(mask, w[b].as_ptr().add(at));
            }
            if HALVES {
                let mut low = row;
                for b in 0..SIDE {
                    let bits = _mm512_castps_si512(row[b]);
                    low[b] = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits));
                    row[b] = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-0x1_0000)));
                }
                for a in 0..X {
                    let x = _mm512_loadu_ps(x[a].as_ptr().add(at));
                    for b in 0..SIDE {
                        sum[a][b] = _mm512_fmadd_ps(x, low[b], sum[a][b]);
                    }
                }
            }
            for a in 0..X {
                let x = _mm512_loadu_ps(x[a].as_ptr().add(at + if HALVES { odd } else { 0 }));
                for b in 0..SIDE {
                    sum[a][b] = _mm512_fmadd_ps(x, row[b], sum[a][b]);
                }
            }
        }
    }
    let mut joined = [[0.0; SIDE]; X];
    for a in 0..X {
        for b in 0..SIDE {
            joined[a][b] = _mm512_reduce_add_ps(sum[a][b]);
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::each_level;
    use crate::cpu::test::noise;

    /// Both ways of storing W, every start, against plain loops in f64.
    #[test]
    fn every_level_and_storage() {
        each_level(|level| {
            for [m, n, k] in [[1, 1, 2], [1, 70, 64], [2, 33, 96], [3, 5, 34], [5, 130, 300], [32, 66, 130], [7, 9, 0]]
            {
                let (x, w, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
                let mut words = vec![0; (n * k).div_ceil(2)];
                crate::bf16::plain::pack(&w, &mut words);
                let mut unpacked = vec![0.0; n * k];
                crate::bf16::plain::unpack(&words, &mut unpacked);
                for (stored, w) in [(Stored::F32(&w), &w), (Stored::Bf16(&words), &unpacked)] {
                    for (name, start, from) in
                        [("zero", Start::Zero, 0.0), ("old", Start::Old, 1.0), ("bias", Start::Bias(&bias), 0.0)]
                    {
                        let mut c = vec![from as f32; m * n];
                        few([m, n, k], &x, stored, start, &mut c);
                        for (at, &got) in c.iter().enumerate() {
                            let (i, j) = (at / n, at % n);
                            let from = if name == "bias" { bias[j] as f64 } else { from };
                            let want = from + (0..k).map(|l| x[i * k + l] as f64 * w[j * k + l] as f64).sum::<f64>();
                            let error = (got as f64 - want).abs();
                            assert!(error < 1e-5, "{level:?} {name} {m}×{n}×{k} at ({i}, {j}): {got} for {want}");
                        }
                    }
                }
            }
        });
    }
}
