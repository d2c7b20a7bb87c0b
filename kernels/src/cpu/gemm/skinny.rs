//! Skinny products, a few rows times Wᵀ (a gemv where it is one row): decoding. Bound by memory, so every weight is
//! read once, where it lies, for all rows.
//!
//! A tile is some rows of x times some rows of W: sixteen sums, each in lanes along K, joined at the end all together.
//! Weights in bf16 are words of two numbers; the rows of x are then split into their even and their odd numbers.

use super::{Beta, Matrix, ONE_THREAD};
use crate::cpu::math::{LANES, add_lanes, sum_of_pairs};
use crate::cpu::par::{self, Block};
use crate::cpu::pool::{self, Pooled};
use crate::cpu::simd::{Isa, isa, per_isa};
use std::ops::Range;

/// What this is for: with more rows, packing pays.
pub const SKINNY: usize = 16;
/// The same for weights in bf16, which would have to be unpacked too.
pub const SKINNY_BF16: usize = 64;
/// Columns of C to a task.
const GRAIN: usize = 32;

/// W [n, k], in f32 or in bf16.
#[derive(Clone, Copy)]
pub enum Weight<'a> {
    F32(&'a [f32]),
    /// Two numbers to a word, k even.
    Bf16(&'a [u32]),
}

/// c [m, n] = beta + x [m, k] · wᵀ
pub fn skinny([m, n, k]: [usize; 3], x: &[f32], w: Weight, beta: Beta, c: &mut [f32]) {
    let split;
    let (x, w, words) = match w {
        Weight::F32(w) => (x, w, k),
        Weight::Bf16(w) => {
            split = even_then_odd(x, k);
            (&split[..], bytemuck::cast_slice(w), k / 2)
        }
    };
    assert!(x.len() == m * k && w.len() == n * words && (words == k || k % 2 == 0), "{m} × {n} × {k}");
    let product = Skinny { k, x: Matrix::new(x, k), w: Matrix::new(w, words), words, beta };
    let grain = if m * n * k < ONE_THREAD { n.max(1) } else { GRAIN };
    let parts: Vec<_> = (0..n).step_by(grain).map(|j| [(0, j..n.min(j + grain))]).collect();
    par::grid(&[0, m as u32], [(c, n)], &parts, |_, part, [c]| product.columns(parts[part][0].1.clone(), c));
}

/// c = x [rows of c, k] · wᵀ, w [columns of c, k], on this thread: for use inside a task.
pub fn skinny_here(k: usize, x: Matrix, w: Matrix, c: Block) {
    let [m, n] = c.size();
    x.check(m, k);
    w.check(n, k);
    Skinny { k, x, w, words: k, beta: Beta::Zero }.columns(0..n, c);
}

/// Of each row of x [m, k] the even numbers, then the odd ones.
fn even_then_odd(x: &[f32], k: usize) -> Pooled {
    let mut out = pool::take(x.len());
    for (x, out) in x.chunks_exact(k.max(1)).zip(out.chunks_exact_mut(k.max(1))) {
        let (even, odd) = out.split_at_mut(k / 2);
        for ((pair, even), odd) in x.as_chunks::<2>().0.iter().zip(even).zip(odd) {
            [*even, *odd] = *pair;
        }
    }
    out.into()
}

struct Skinny<'a> {
    k: usize,
    x: Matrix<'a>,
    w: Matrix<'a>,
    /// To a row of W: `k` numbers, or half as many pairs.
    words: usize,
    beta: Beta<'a>,
}

impl Skinny<'_> {
    /// Some columns of C. Rows of W, once fetched, serve all rows of x from the cache.
    fn columns(&self, columns: Range<usize>, mut c: Block) {
        let rows = c.size()[0];
        let whole = if rows % 4 == 3 { rows } else { rows / 4 * 4 };
        self.tiles::<4, 4>(0..whole, &columns, &mut c);
        match rows - whole {
            0 => (),
            1 => self.tiles::<1, 16>(whole..rows, &columns, &mut c),
            _ => self.tiles::<2, 8>(whole..rows, &columns, &mut c),
        }
    }

    /// Tiles of X rows of x and S of W. Beyond the last row stands the last one again, not to be stored.
    fn tiles<const X: usize, const S: usize>(&self, rows: Range<usize>, columns: &Range<usize>, c: &mut Block) {
        for j in columns.clone().step_by(S) {
            let w = std::array::from_fn(|b| &self.w.from((j + b).min(columns.end - 1), 0).data[..self.words]);
            for i in rows.clone().step_by(X) {
                let x = std::array::from_fn(|a| &self.x.from((i + a).min(rows.end - 1), 0).data[..self.k]);
                let sums = self.tile::<X, S>(x, w);
                for (i, sums) in (i..rows.end).zip(sums) {
                    let c = &mut c.row(i)[j - columns.start..];
                    for (b, (c, sum)) in c.iter_mut().zip(sums).enumerate() {
                        *c = sum
                            + match self.beta {
                                Beta::Zero => 0.0,
                                Beta::One => *c,
                                Beta::Bias(bias) => bias[j + b],
                            };
                    }
                }
            }
        }
    }

    fn tile<const X: usize, const S: usize>(&self, x: [&[f32]; X], w: [&[f32]; S]) -> [[f32; S]; X] {
        let halves = self.words < self.k;
        match isa() {
            // SAFETY: `isa` only returns what was found on this machine.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx if halves => unsafe { avx512::<X, S, true>(x, w, S * self.w.row) },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => unsafe { avx512::<X, S, false>(x, w, S * self.w.row) },
            _ => x.map(|x| w.map(|w| if halves { dot_of_pairs(x, w) } else { dot(x, w) })),
        }
    }
}

per_isa! {
    fn dot(x: &[f32], w: &[f32]) -> f32 {
        sum_of_pairs(x, w, |x, w| x * w)
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

/// X × S = 16 sums, their lanes in registers; see `dot` and `dot_of_pairs`. The next tile's rows of W are `next`
/// numbers behind these.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const X: usize, const S: usize, const HALVES: bool>(
    x: [&[f32]; X],
    w: [&[f32]; S],
    next: usize,
) -> [[f32; S]; X] {
    use std::arch::x86_64::*;
    const { assert!(X * S == LANES) };
    let (words, odd) = (w[0].len(), x[0].len() / 2);
    let mut sum = [[_mm512_setzero_ps(); S]; X];
    for at in (0..words).step_by(LANES) {
        let mask: __mmask16 = if words - at >= LANES { 0xffff } else { 0xffff >> (LANES - (words - at)) };
        // SAFETY: a row of W has `words` numbers, and one of x (or each of its halves) too.
        unsafe {
            // What the next tile reads: the hardware stops at the end of a row.
            for w in &w {
                _mm_prefetch::<_MM_HINT_T0>(w.as_ptr().wrapping_add(at + next) as *const i8);
            }
            // Loops, not `map`: a closure given to it would not be compiled with these instructions.
            let mut row = [_mm512_setzero_ps(); S];
            for b in 0..S {
                row[b] = _mm512_maskz_loadu_ps(mask, w[b].as_ptr().add(at));
            }
            if HALVES {
                let mut low = row;
                for b in 0..S {
                    let bits = _mm512_castps_si512(row[b]);
                    low[b] = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits));
                    row[b] = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32(-0x1_0000)));
                }
                for a in 0..X {
                    let x = _mm512_maskz_loadu_ps(mask, x[a].as_ptr().add(at));
                    for b in 0..S {
                        sum[a][b] = _mm512_fmadd_ps(x, low[b], sum[a][b]);
                    }
                }
            }
            for a in 0..X {
                let x = _mm512_maskz_loadu_ps(mask, x[a].as_ptr().add(at + if HALVES { odd } else { 0 }));
                for b in 0..S {
                    sum[a][b] = _mm512_fmadd_ps(x, row[b], sum[a][b]);
                }
            }
        }
    }
    let mut lanes = [_mm512_setzero_ps(); LANES];
    for a in 0..X {
        for b in 0..S {
            lanes[a * S + b] = sum[a][b];
        }
    }
    let mut joined = [[0.0; S]; X];
    // SAFETY: X × S numbers
    unsafe { _mm512_storeu_ps(joined.as_mut_ptr().cast(), join(lanes)) };
    joined
}

/// `add_lanes` of sixteen vectors at once: halves are added to halves as there, and two vectors share a register as
/// soon as there is room.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
#[inline]
fn join(x: [std::arch::x86_64::__m512; LANES]) -> std::arch::x86_64::__m512 {
    use std::arch::x86_64::*;
    let mut fours = [_mm512_setzero_ps(); 4]; // [i]: four lanes each of vectors i, 4 + i, 8 + i and 12 + i
    for i in 0..4 {
        let mut eights = [_mm512_setzero_ps(); 2];
        for (h, eights) in eights.iter_mut().enumerate() {
            let (a, b) = (x[8 * h + i], x[8 * h + 4 + i]);
            *eights = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
        }
        let [a, b] = eights;
        fours[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
    }
    let mut twos = [_mm512_setzero_pd(); 2];
    for (h, twos) in twos.iter_mut().enumerate() {
        let (a, b) = (fours[2 * h], fours[2 * h + 1]);
        *twos = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    }
    let [a, b] = twos;
    _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::each_isa;
    use crate::cpu::test::noise;

    /// Both kinds of W, every beta, against plain loops in f64.
    #[test]
    fn every_isa_and_storage() {
        each_isa(|isa| {
            for [m, n, k] in [[1, 1, 2], [1, 70, 64], [2, 33, 96], [3, 5, 34], [5, 130, 300], [32, 66, 130], [7, 9, 0]]
            {
                let (x, w, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
                let mut words = vec![0; (n * k).div_ceil(2)];
                crate::bf16::plain::pack(&w, &mut words);
                let mut unpacked = vec![0.0; n * k];
                crate::bf16::plain::unpack(&words, &mut unpacked);
                for (weight, w) in [(Weight::F32(&w), &w), (Weight::Bf16(&words), &unpacked)] {
                    for (name, beta, from) in
                        [("zero", Beta::Zero, 0.0), ("old", Beta::One, 1.0), ("bias", Beta::Bias(&bias), 0.0)]
                    {
                        let mut c = vec![from as f32; m * n];
                        skinny([m, n, k], &x, weight, beta, &mut c);
                        for (at, &got) in c.iter().enumerate() {
                            let (i, j) = (at / n, at % n);
                            let from = if name == "bias" { bias[j] as f64 } else { from };
                            let want = from + (0..k).map(|l| x[i * k + l] as f64 * w[j * k + l] as f64).sum::<f64>();
                            let error = (got as f64 - want).abs();
                            assert!(error < 1e-5, "{isa:?} {name} {m}×{n}×{k} at ({i}, {j}): {got} for {want}");
                        }
                    }
                }
            }
        });
    }
}
