//! Functions of one number, and sums of many, in a form that compilers turn into vector code: no branches, no
//! calls, fixed lanes. The same bits on every instruction set, since nothing here is left to contraction.

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

/// ln x for positive normal x, relative error below 3e-7 (absolute near 1: below 1e-7).
///
/// x = m 2ᵉ with √½ ≤ m < √2; ln m by the polynomial of Cephes (logf.c).
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let e = x.to_bits().wrapping_sub(SQRT_HALF) as i32 >> 23;
    let f = f32::from_bits(x.to_bits().wrapping_sub((e as u32) << 23)) - 1.0;
    let e = e as f32;
    let mut p = 7.037_683_6e-2;
    p = p * f - 1.151_461e-1;
    p = p * f + 1.167_699_9e-1;
    p = p * f - 1.242_014_1e-1;
    p = p * f + 1.424_932_3e-1;
    p = p * f - 1.666_805_8e-1;
    p = p * f + 2.000_071_5e-1;
    p = p * f - 2.499_999_4e-1;
    p = p * f + 3.333_333_1e-1;
    let square = f * f;
    p = p * f * square - 2.121_944_4e-4 * e - 0.5 * square;
    f + p + 0.693_359_4 * e
}

/// How many partial sums the functions below keep: one AVX-512 register, or two or four smaller ones.
pub const LANES: usize = 16;

/// The lanes joined two by two, as a tree.
#[inline(always)]
fn join(x: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let (mut a, mut b, mut c) = ([0.0; 8], [0.0; 4], [0.0; 2]);
    for i in 0..8 {
        a[i] = f(x[i], x[i + 8]);
    }
    for i in 0..4 {
        b[i] = f(a[i], a[i + 4]);
    }
    for i in 0..2 {
        c[i] = f(b[i], b[i + 2]);
    }
    f(c[0], c[1])
}

#[inline(always)]
pub fn add_lanes(lanes: [f32; LANES]) -> f32 {
    join(lanes, |a, b| a + b)
}

/// yᵢ = f(xᵢ). Here and below the last few elements are done as a whole chunk too, none alone. (The loops are flat
/// because compilers make gathers of nested ones.)
#[inline(always)]
pub fn each(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    let ((x, x_rest), (y, y_rest)) = (whole(x), whole_mut(y));
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
    if !x_rest.is_empty() {
        let x = padded(x_rest);
        y_rest.copy_from_slice(&chunk(|i| f(x[i]))[..x_rest.len()]);
    }
}

/// yᵢ = f(aᵢ, bᵢ)
#[inline(always)]
pub fn each_pair(a: &[f32], b: &[f32], y: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    let ((a, a_rest), (b, b_rest), (y, y_rest)) = (whole(a), whole(b), whole_mut(y));
    for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
        *y = f(a, b);
    }
    if !a_rest.is_empty() {
        let (a, b) = (padded(a_rest), padded(b_rest));
        y_rest.copy_from_slice(&chunk(|i| f(a[i], b[i]))[..a_rest.len()]);
    }
}

/// yᵢ = f(yᵢ)
#[inline(always)]
pub fn update(y: &mut [f32], f: impl Fn(f32) -> f32) {
    let (y, rest) = whole_mut(y);
    for y in y {
        *y = f(*y);
    }
    if !rest.is_empty() {
        let last = padded(rest);
        rest.copy_from_slice(&chunk(|i| f(last[i]))[..rest.len()]);
    }
}

/// yᵢ = f(yᵢ, xᵢ)
#[inline(always)]
pub fn update_from(y: &mut [f32], x: &[f32], f: impl Fn(f32, f32) -> f32) {
    let ((y, y_rest), (x, x_rest)) = (whole_mut(y), whole(x));
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(*y, x);
    }
    if !x_rest.is_empty() {
        let (y, x) = (padded(y_rest), padded(x_rest));
        y_rest.copy_from_slice(&chunk(|i| f(y[i], x[i]))[..x_rest.len()]);
    }
}

/// sᵢ += f(aᵢ, bᵢ)
#[inline(always)]
pub fn add_pairs(sums: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    let ((s, s_rest), (a, a_rest), (b, b_rest)) = (whole_mut(sums), whole(a), whole(b));
    for (s, (&a, &b)) in s.iter_mut().zip(a.iter().zip(b)) {
        *s += f(a, b);
    }
    if !a_rest.is_empty() {
        let (s, a, b) = (padded(s_rest), padded(a_rest), padded(b_rest));
        s_rest.copy_from_slice(&chunk(|i| s[i] + f(a[i], b[i]))[..a_rest.len()]);
    }
}

#[inline(always)]
fn whole(x: &[f32]) -> (&[f32], &[f32]) {
    x.split_at(x.len() / LANES * LANES)
}

#[inline(always)]
fn whole_mut(x: &mut [f32]) -> (&mut [f32], &mut [f32]) {
    x.split_at_mut(x.len() / LANES * LANES)
}

#[inline(always)]
fn chunk(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for i in 0..LANES {
        out[i] = f(i);
    }
    out
}

#[inline(always)]
fn padded(rest: &[f32]) -> [f32; LANES] {
    let mut chunk = [0.0; LANES];
    chunk[..rest.len()].copy_from_slice(rest);
    chunk
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
    if !rest.is_empty() {
        let last = padded(rest);
        for i in 0..LANES {
            lanes[i] += if i < rest.len() { f(last[i]) } else { 0.0 };
        }
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
    if !x_rest.is_empty() {
        let (x, y) = (padded(x_rest), padded(y_rest));
        for i in 0..LANES {
            lanes[i] += if i < x_rest.len() { f(x[i], y[i]) } else { 0.0 };
        }
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
    join(lanes, larger)
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
        let w = worst(1e-30..0.9, ln, f64::ln, true).max(worst(1.1..1e30, ln, f64::ln, true));
        assert!(w < 3e-7, "ln {w:e}");
        let w = worst(0.9..1.1, ln, f64::ln, false);
        assert!(w < 1e-7, "ln near 1 {w:e}");
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
    fn sums_of_odd_lengths() {
        for n in 0..70 {
            let x: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum_of(&x, |x| x), (0..n).sum::<usize>() as f32);
            assert_eq!(sum_of_pairs(&x, &x, |a, b| a * b), (0..n).map(|i| i * i).sum::<usize>() as f32);
            let mut y = vec![0.0; n];
            each(&x, &mut y, |x| x + 1.0);
            update(&mut y, |y| 2.0 * y);
            update_from(&mut y, &x, |y, x| y + x);
            each_pair(&y.clone(), &x, &mut y, |a, b| a - 2.0 * b);
            assert!(y.iter().enumerate().all(|(i, &y)| y == i as f32 + 2.0));
            assert_eq!(max(&x), if n == 0 { f32::NEG_INFINITY } else { (n - 1) as f32 });
        }
    }
}
