//! A right operand that is packed once and multiplied many times: the weights of a model that is decoding.

use super::pack::{PackBuffer, pack_b};
use super::{B, Beta, Block, Matrix, ONE_THREAD, Out, Pack, Product, bf16};
use crate::cpu::par;
use crate::cpu::pool::{self, Pooled};
use crate::matmul::Precision;

/// Columns of a panel: what the widest tile reads. Narrower ones read a part of it.
pub const WIDTH: usize = 64;
/// Rows after the last: a tile may take so many more, to multiply them by zero.
const BEYOND: usize = 15;

/// Wᵀ of a matrix W [n, k]: for each `WIDTH` of its columns, one row of them after the other.
pub struct Panels {
    data: Pooled,
    n: usize,
    k: usize,
    precision: Precision,
    /// Words of two numbers, where the processor multiplies such.
    pairs: bool,
}

impl Panels {
    pub fn new(precision: Precision, [n, k]: [usize; 2], w: &[f32]) -> Panels {
        assert_eq!(w.len(), n * k, "a matrix of {n} × {k}");
        let pairs = precision == Precision::Bf16 && bf16::available();
        let rounded = (precision == Precision::Bf16 && !pairs).then(|| bf16::rounded(w));
        let b = Matrix::new(rounded.as_deref().unwrap_or(w), k).transposed();
        let deep = if pairs { k.div_ceil(2) } else { k };
        let len = n.div_ceil(WIDTH) * deep * WIDTH;
        let mut data = pool::take(len + BEYOND * WIDTH);
        data[len..].fill(0.0);
        par::rows(n.div_ceil(WIDTH), 1, [(&mut data[..len], deep * WIDTH)], |these, [panels]| {
            let js = these.start * WIDTH..n.min(these.end * WIDTH);
            let to = PackBuffer { width: WIDTH, apart: 0, panels };
            match pairs {
                #[cfg(target_arch = "x86_64")]
                true => bf16::pack_b(&b, k, 0..deep, js, 1, to),
                _ => pack_b(&b, 0..deep, js, to),
            }
        });
        Panels { data: data.into(), n, k, precision, pairs }
    }

    pub fn shape(&self) -> [usize; 2] {
        [self.n, self.k]
    }

    /// c [m, n] = beta + x [m, k] · wᵀ
    pub fn multiply(&self, m: usize, x: &[f32], beta: Beta, c: &mut [f32]) {
        let Panels { n, k, pairs, .. } = *self;
        assert!(x.len() == m * k && c.len() == m * n, "{m} rows of {k} in, of {n} out");
        if m == 0 || n == 0 {
            return;
        }
        let rounded = (self.precision == Precision::Bf16 && !pairs).then(|| bf16::rounded(x));
        let a = Matrix::new(rounded.as_deref().unwrap_or(x), k);
        let (mut c, spread) = (Block::new(c, n, n), m * n * k >= ONE_THREAD);
        let (c, c_row) = c.raw();
        let product =
            Product { m, n, k, a, b: B::Panels(&self.data), pack: Pack::Numbers, beta, c: Out(c), c_row, spread };
        #[cfg(target_arch = "x86_64")]
        if pairs {
            return Product { k: k.div_ceil(2), pack: Pack::Pairs { k }, ..product }.run_pairs();
        }
        product.run_numbers();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::simd::each_isa;
    use crate::cpu::test::noise;

    /// Packed for one instruction set and multiplied at each, in both precisions, against plain loops in f64.
    #[test]
    fn every_isa_and_precision() {
        let shapes = [
            [1, 1, 1],
            [1, 200, 96],
            [7, 64, 33],
            [32, 130, 300],
            [64, 576, 192],
            [65, 31, 1500],
            [3, 70, 0],
            [0, 5, 5],
        ];
        for [m, n, k] in shapes {
            let (x, w, bias) = (noise(m * k, 1), noise(n * k, 2), noise(n, 3));
            for precision in [Precision::F32, Precision::Bf16] {
                let [x64, w64] = [&x, &w].map(|x| x.iter().map(|&x| precision.round(x) as f64).collect::<Vec<_>>());
                let mut packed = Vec::new();
                each_isa(|isa| packed.push((isa, Panels::new(precision, [n, k], &w))));
                each_isa(|isa| {
                    for (packed_at, panels) in &packed {
                        let mut c = vec![f32::NAN; m * n];
                        panels.multiply(m, &x, Beta::Bias(&bias), &mut c);
                        for (at, &got) in c.iter().enumerate() {
                            let (x, w) = (&x64[at / n * k..][..k], &w64[at % n * k..][..k]);
                            let want = bias[at % n] as f64 + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
                            let close = (got as f64 - want).abs() <= 4e-6 * (k as f64).sqrt().max(1.0);
                            assert!(close, "{packed_at:?} {isa:?} {precision:?} {m}×{n}×{k} at {at}: {got} for {want}");
                        }
                    }
                });
            }
        }
    }
}
