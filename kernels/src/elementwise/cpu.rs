//! Fast on the CPU: the table again for the functions that are hot in training, in vector form. The rare ones are
//! read from the table element by element.
use super::{Binary, Unary};
use crate::cpu::math::{each, each_pair, exp, sigmoid, update, update_from};
use crate::cpu::par;
use crate::cpu::simd::per_isa;

/// Elements to a task.
const GRAIN: usize = 1 << 14;

pub fn map(op: Unary, x: &[f32], p: [f32; 2], y: &mut [f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| map_piece(op, &x[range], p, y));
}

pub fn zip(op: Binary, a: &[f32], b: &[f32], p: [f32; 2], y: &mut [f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| zip_piece(op, &a[range.clone()], &b[range], p, y));
}

pub fn axpy(y: &mut [f32], s: f32, x: &[f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| axpy_piece(y, s, &x[range]));
}

pub fn lerp(y: &mut [f32], t: f32, x: &[f32]) {
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| lerp_piece(y, t, &x[range]));
}

pub fn scale(y: &mut [f32], s: f32) {
    par::rows(y.len(), GRAIN, [(y, 1)], |_, [y]| scale_piece(y, s));
}

per_isa! {
    fn map_piece(op: Unary, x: &[f32], p: [f32; 2], y: &mut [f32]) {
        let [p0, p1] = p;
        match op {
            Unary::Neg => each(x, y, |x| -x),
            Unary::Exp => each(x, y, exp),
            Unary::Square => each(x, y, |x| x * x),
            Unary::Sigmoid => each(x, y, sigmoid),
            Unary::Relu => each(x, y, |x| if x < 0.0 { 0.0 } else { x }),
            Unary::Gelu => each(x, y, gelu),
            Unary::GeluErf => each(x, y, |x| x * normal_cdf(x)),
            Unary::Silu => each(x, y, silu),
            Unary::Scale => each(x, y, |x| p0 * x),
            Unary::Shift => each(x, y, |x| x + p0),
            Unary::Clamp => each(x, y, |x| {
                let x = if x < p0 { p0 } else { x };
                if x > p1 { p1 } else { x }
            }),
            _ => {
                let f = op.row().f32;
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = f(x, p);
                }
            }
        }
    }

    fn zip_piece(op: Binary, a: &[f32], b: &[f32], p: [f32; 2], y: &mut [f32]) {
        match op {
            Binary::Add => each_pair(a, b, y, |a, b| a + b),
            Binary::Sub => each_pair(a, b, y, |a, b| a - b),
            Binary::Mul => each_pair(a, b, y, |a, b| a * b),
            Binary::Div => each_pair(a, b, y, |a, b| a / b),
            Binary::Min => each_pair(a, b, y, |a, b| if a < b { a } else { b }),
            Binary::Max => each_pair(a, b, y, |a, b| if a > b { a } else { b }),
            Binary::GeluBack => each_pair(a, b, y, gelu_back),
            Binary::GeluErfBack => each_pair(a, b, y, gelu_erf_back),
            Binary::SiluBack => each_pair(a, b, y, silu_back),
            Binary::SquareBack => each_pair(a, b, y, |dy, x| (dy + dy) * x),
            Binary::ReluBack => each_pair(a, b, y, |dy, x| if x <= 0.0 { 0.0 } else { dy }),
            _ => {
                let f = op.row().f32;
                for (y, (&a, &b)) in y.iter_mut().zip(a.iter().zip(b)) {
                    *y = f(a, b, p);
                }
            }
        }
    }

    fn axpy_piece(y: &mut [f32], s: f32, x: &[f32]) {
        update_from(y, x, |y, x| y + s * x);
    }

    fn lerp_piece(y: &mut [f32], t: f32, x: &[f32]) {
        update_from(y, x, |y, x| y + t * (x - y));
    }

    fn scale_piece(y: &mut [f32], s: f32) {
        update(y, |y| y * s);
    }
}

/// 2√(2/π): ½(1 + tanh u) is σ(2u), which needs one exponential and loses nothing for small u.
const TWO_A: f32 = 1.595_769_1;
const B: f32 = 0.044_715;

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * sigmoid(TWO_A * (x + B * x * x * x))
}

#[inline(always)]
fn gelu_back(dy: f32, x: f32) -> f32 {
    let s = sigmoid(TWO_A * (x + B * x * x * x));
    dy * (s + x * s * (1.0 - s) * TWO_A * (1.0 + 3.0 * B * x * x))
}

/// Φ(x) by its upper tail (Abramowitz & Stegun 7.1.26): off by less than 1e-7.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.231_641_89 * x.abs());
    let mut poly = 1.061_405_4 * t - 1.453_152;
    poly = poly * t + 1.421_413_7;
    poly = poly * t - 0.284_496_74;
    poly = poly * t + 0.254_829_6;
    let tail = 0.5 * poly * t * exp(-0.5 * x * x);
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// 1/√(2π)
const PEAK: f32 = 0.398_942_3;

#[inline(always)]
fn gelu_erf_back(dy: f32, x: f32) -> f32 {
    dy * (normal_cdf(x) + x * PEAK * exp(-0.5 * x * x))
}

#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

#[inline(always)]
pub fn silu_derivative(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

#[inline(always)]
fn silu_back(dy: f32, x: f32) -> f32 {
    dy * silu_derivative(x)
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    #[test]
    fn the_table_in_vector_form() {
        crate::cpu::simd::each_isa(|isa| {
            for n in [0, 1, 15, 16, 17, 100, 40_000] {
                let (x, b) = (noise(n, 1).iter().map(|x| 8.0 * x).collect::<Vec<_>>(), noise(n, 2));
                let (mut y, mut want) = (vec![0.0; n], vec![0.0; n]);
                for op in Unary::ALL {
                    map(op, &x, [-1.5, 2.0], &mut y);
                    plain::map(op, &wide(&x), [-1.5, 2.0], &mut want);
                    close(&format!("{isa:?} {op:?}"), &y, &want, 1e-5);
                }
                for op in Binary::ALL {
                    zip(op, &b, &x, [-1.5, 2.0], &mut y);
                    plain::zip(op, &wide(&b), &wide(&x), [-1.5, 2.0], &mut want);
                    close(&format!("{isa:?} {op:?}"), &y, &want, 1e-5);
                }
                for (name, f, exact) in [
                    ("axpy", axpy as fn(&mut [f32], f32, &[f32]), plain::axpy as fn(&mut [f64], f64, &[f64])),
                    ("lerp", lerp, plain::lerp),
                    ("scale", |y, s, _| scale(y, s), |y, s, _| plain::scale(y, s)),
                ] {
                    let (mut y, mut want) = (b.clone(), wide(&b));
                    f(&mut y, 0.25, &x);
                    exact(&mut want, 0.25, &wide(&x));
                    close(&format!("{isa:?} {name}"), &y, &want, 1e-6);
                }
            }
        });
    }

    #[test]
    fn far_arguments_stay_finite() {
        let (x, mut y) = ([-1e30f32, -100.0, 100.0, 1e30, 0.0], [0.0; 5]);
        map(Unary::Silu, &x, [0.0; 2], &mut y);
        assert_eq!(y, [0.0, 0.0, 100.0, 1e30, 0.0]);
        map(Unary::Gelu, &x[1..], [0.0; 2], &mut y[1..]);
        assert_eq!(y[1..3], [0.0, 100.0]);
        map(Unary::GeluErf, &x[1..], [0.0; 2], &mut y[1..]);
        assert_eq!(y[1..], [0.0, 100.0, 1e30, 0.0]);
    }
}
