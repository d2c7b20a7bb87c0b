//! The product against plain loops in f64, on every instruction set.

use super::super::simd::each_isa;
use super::super::test::noise;
use super::*;

const SHAPES: [[usize; 3]; 19] = [
    [1, 1, 1],
    [1, 5, 3],
    [5, 1, 7],
    [2, 64, 64],
    [7, 17, 33],
    [6, 64, 128],
    [13, 65, 129],
    [16, 48, 40],
    [33, 31, 1],
    [3, 4, 0],
    [100, 70, 300],
    [64, 200, 65],
    [257, 130, 100],
    [300, 600, 70],
    [1, 300, 70],
    [16, 700, 33],
    [128, 70, 300],
    [256, 64, 512],
    [200, 140, 1100],
];

/// Every form, beta and precision against plain loops in f64.
#[test]
fn every_isa_every_form() {
    each_isa(|isa| {
        for precision in [Precision::F32, Precision::Bf16] {
            every_form(isa, precision);
        }
    });
}

fn every_form(isa: Isa, precision: Precision) {
    for (s, [m, n, k]) in SHAPES.into_iter().enumerate() {
        let (a, b) = (noise(m * k, s as u32), noise(k * n, 100 + s as u32));
        let round = |x: &[f32]| x.iter().map(|&x| precision.round(x)).collect::<Vec<_>>();
        let (a64, b64) = (round(&a), round(&b));
        let (old, bias) = (noise(m * n, 200), noise(n, 300));
        for form in ["NN", "NT", "TN", "TT"] {
            let wide = |t: bool, rows, cols, data| match t {
                false => Matrix::new(data, cols),
                true => Matrix::new(data, rows).transposed(),
            };
            let (am, bm) = (wide(&form[..1] == "T", m, k, &a), wide(&form[1..] == "T", k, n, &b));
            for (name, beta) in [("zero", Beta::Zero), ("old", Beta::One), ("bias", Beta::Bias(&bias))] {
                let mut c = old.clone();
                gemm(precision, [m, n, k], am, bm, beta, &mut c);
                let (am, bm) = (Matrix { data: &a64, ..am }, Matrix { data: &b64, ..bm });
                for i in 0..m {
                    for j in 0..n {
                        let from = match beta {
                            Beta::Zero => 0.0,
                            Beta::One => old[i * n + j] as f64,
                            Beta::Bias(bias) => bias[j] as f64,
                        };
                        let at = |m: &Matrix, i, j| m.data[i * m.row + j * m.col] as f64;
                        let want = from + (0..k).map(|l| at(&am, i, l) * at(&bm, l, j)).sum::<f64>();
                        let got = c[i * n + j] as f64;
                        let close = (got - want).abs() <= 1e-6 * (k as f64).sqrt().max(1.0) * 4.0;
                        assert!(
                            close,
                            "{isa:?} {precision:?} {form} {name} {m}×{n}×{k} at ({i}, {j}): {got} for {want}"
                        );
                    }
                }
            }
        }
    }
}

/// On one thread in parts, on all in tasks, and a row alone.
#[test]
fn the_cut_leaves_no_mark() {
    let [m, n, k] = [1103, 200, 1100];
    let (x, y) = (noise(m * k, 1), noise(k * n, 2));
    each_isa(|isa| {
        for precision in [Precision::F32, Precision::Bf16] {
            for a in [Matrix::new(&x, k), Matrix::new(&x, m).transposed()] {
                let product = |a: Matrix, spread, c: &mut [f32]| {
                    let c = Block::new(c, n, n);
                    match precision {
                        Precision::F32 => product(k, a, Matrix::new(&y, n), Beta::Zero, c, spread),
                        Precision::Bf16 => bf16::product(k, a, Matrix::new(&y, n), Beta::Zero, c, spread),
                    }
                };
                let [mut tasks, mut parts, mut row] = [vec![0.0; m * n], vec![0.0; m * n], vec![0.0; n]];
                product(a, true, &mut tasks);
                product(a, false, &mut parts);
                assert!(tasks == parts, "{isa:?} {precision:?}");
                for i in [0, 3, 200, 1102] {
                    product(a.from(i, 0), false, &mut row);
                    assert!(row == tasks[i * n..][..n], "{isa:?} {precision:?} row {i}");
                }
            }
        }
    });
}
