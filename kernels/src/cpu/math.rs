//! Functions of one number, and sums of many, in a form that compilers turn into vector code: no branches, no
//! calls, fixed lanes. The same bits at every SIMD level, since nothing here is left to contraction.

/// eˣ, relative error below 2e-7 over the whole range. Results below 1.2e-38 become 0, above the largest f32 ∞.
///
/// x = n ln 2 + r with |r| ≤ ln 2 / 2; e^r by the polynomial of Cephes (expf.c), 2ⁿ by the exponent bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the nearest integer in the low bits
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // max and min in this order keep a NaN out of the bit arithmetic; it is put back at the end.
    let clamped = x.clamp(-87.0, 89.0);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 5e-1;
    p = p * (r * r) + r + 1.0;
    // 2ⁿ⁻¹ and then once more 2, for n may be 128.
    let half = f32::from_bits((shifted.to_bits() << 23).wrapping_add(126 << 23));
    let y = p * half * 2.0;
    if x < -87.0 { 0.0 } else { y }
}

/// 1 / (1 + e⁻ˣ), relative error below 4e-7.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh, absolute error below 2e-7.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// erf, absolute error below 5e-7. Abramowitz & Stegun 7.1.26.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let p = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    (1.0 - p * exp(-x * x)).copysign(x)
}

/// How many partial sums the functions below keep: one AVX-512 register, or two or four smaller ones.
pub const LANES: usize = 16;

/// Adds the lanes up as a tree.
#[inline(always)]
pub fn add_lanes(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// Σ f(xᵢ)
#[inline(always)]
pub fn sum_of(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += f(chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    add_lanes(lanes)
}

/// Σ f(xᵢ, yᵢ)
#[inline(always)]
pub fn sum_of_pairs(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let y = &y[..x.len()];
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane += f(x, y);
    }
    add_lanes(lanes)
}

/// The largest of `x`, -∞ of none.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(range: std::ops::Range<f64>, fast: fn(f32) -> f32, exact: fn(f64) -> f64, relative: bool) -> f64 {
        let steps = 200_000;
        (0..=steps)
            .map(|i| (range.start + (range.end - range.start) * i as f64 / steps as f64) as f32)
            .map(|x| {
                let (y, e) = (fast(x) as f64, exact(x as f64));
                (y - e).abs() / if relative { e.abs().max(1e-37) } else { 1.0 }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_as_stated() {
        let w = worst(-86.9..88.7, exp, f64::exp, true);
        assert!(w < 2e-7, "exp {w:e}");
        let w = worst(-80.0..80.0, sigmoid, |x| 1.0 / (1.0 + (-x).exp()), true);
        assert!(w < 4e-7, "sigmoid {w:e}");
        let w = worst(-12.0..12.0, tanh, f64::tanh, false);
        assert!(w < 2e-7, "tanh {w:e}");
    }

    #[test]
    fn the_ends_of_exp() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-200.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(100.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn erf_at_known_points() {
        // from the tables of Abramowitz & Stegun
        for (x, y) in [(0.0, 0.0), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3), (-1.0, -0.842_700_8)] {
            assert!((erf(x) - y).abs() < 5e-7, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn sums_of_odd_lengths() {
        for n in 0..70 {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum_of(&x, |x| x), (0..n).sum::<usize>() as f32);
            assert_eq!(sum_of_pairs(&x, &x, |a, b| a * b), (0..n).map(|i| i * i).sum::<usize>() as f32);
            assert_eq!(max(&x), if n == 0 { f32::NEG_INFINITY } else { (n - 1) as f32 });
        }
    }
}
