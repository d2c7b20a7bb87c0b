//! Element by element on arrays of one shape, and the operators + - * / on `Var`.
use crate::tape::{Var, record};
use kernels::{Binary, Tensor, Unary, map, set_columns, shapes, slice_columns, zip};
use std::ops::{Add, Div, Mul, Neg, Sub};

const NONE: [f32; 2] = [0.0; 2];

/// Sum: a + b, of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn add(a: &Var, b: &Var) -> Var {
    let y = zip(Binary::Add, a.value(), b.value(), NONE);
    record("add", [a, b], y, |dy, needs| [needs[0].then(|| dy.clone()), needs[1].then_some(dy)])
}

/// Difference: a − b, of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn sub(a: &Var, b: &Var) -> Var {
    let y = zip(Binary::Sub, a.value(), b.value(), NONE);
    record("sub", [a, b], y, |dy, needs| {
        let db = needs[1].then(|| map(Unary::Neg, &dy, NONE));
        [needs[0].then_some(dy), db]
    })
}

/// Product of elements: a·b, of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn mul(a: &Var, b: &Var) -> Var {
    let (av, bv) = (a.value().clone(), b.value().clone());
    let y = zip(Binary::Mul, &av, &bv, NONE);
    record("mul", [a, b], y, move |dy, needs| {
        [(needs[0], &bv), (needs[1], &av)].map(|(need, other)| need.then(|| zip(Binary::Mul, &dy, other, NONE)))
    })
}

/// Quotient of elements: a/b, of one shape.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn div(a: &Var, b: &Var) -> Var {
    let bv = b.value().clone();
    let y = zip(Binary::Div, a.value(), &bv, NONE);
    let yv = y.clone();
    record("div", [a, b], y, move |dy, needs| {
        let da = zip(Binary::Div, &dy, &bv, NONE); // 1/b
        let db = needs[1].then(|| map(Unary::Neg, &zip(Binary::Mul, &da, &yv, NONE), NONE)); // −a/b²
        [Some(da), db]
    })
}

/// Negation: −x
pub fn neg(x: &Var) -> Var {
    record("neg", [x], map(Unary::Neg, x.value(), NONE), |dy, _| [Some(map(Unary::Neg, &dy, NONE))])
}

/// Scaling: s·x
pub fn scale(x: &Var, s: f32) -> Var {
    let times = move |x: &Tensor| map(Unary::Scale, x, [s, 0.0]);
    record("scale", [x], times(x.value()), move |dy, _| [Some(times(&dy))])
}

/// Shift: x + c
pub fn shift(x: &Var, c: f32) -> Var {
    record("shift", [x], map(Unary::Shift, x.value(), [c, 0.0]), |dy, _| [Some(dy)])
}

/// Clamp: x held between `low` and `high`; where it is outside, no gradient. A NaN comes out as `low`: test before.
pub fn clamp(x: &Var, low: f32, high: f32) -> Var {
    let xv = x.value().clone();
    let y = map(Unary::Clamp, &xv, [low, high]);
    record("clamp", [x], y, move |dy, _| [Some(zip(Binary::ClampBack, &dy, &xv, [low, high]))])
}

/// Minimum: the smaller; of equal numbers the one from `a`, to which the gradient then goes.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn min(a: &Var, b: &Var) -> Var {
    let y = zip(Binary::Min, a.value(), b.value(), NONE);
    let from_a = zip(Binary::LessEqual, a.value(), b.value(), NONE);
    record("min", [a, b], y, move |dy, _| split(dy, &from_a))
}

/// Maximum: the larger; of equal numbers the one from `a`, to which the gradient then goes.
///
/// # Panics
/// If the shapes differ.
#[track_caller]
pub fn max(a: &Var, b: &Var) -> Var {
    let y = zip(Binary::Max, a.value(), b.value(), NONE);
    let from_a = zip(Binary::LessEqual, b.value(), a.value(), NONE);
    record("max", [a, b], y, move |dy, _| split(dy, &from_a))
}

/// dy where `from_a` is 1, and dy where it is 0.
fn split(dy: Tensor, from_a: &Tensor) -> [Option<Tensor>; 2] {
    let da = zip(Binary::Mul, &dy, from_a, NONE);
    let db = zip(Binary::Sub, &dy, &da, NONE);
    [Some(da), Some(db)]
}

/// Scaled addition to a slice of columns: y with scale·x added from column `start` on.  y [N, C], x [N, W] → [N, C]
///
/// # Panics
/// If x leaves y.
#[track_caller]
pub fn add_columns(y: &Var, start: usize, scale: f32, x: &Var) -> Var {
    let takes = || format!("add_columns from {start} on takes y [N, C], x [N, W] with {start} + W <= C");
    shapes!(takes(), y [n, c], x [rows, w] if rows == n && start + w <= c);
    let range = start..start + w;
    let mut sum = slice_columns(y.value(), range.clone());
    kernels::axpy(&mut sum, scale, x.value());
    let mut value = y.value().clone();
    set_columns(&mut value, start, &sum);
    record("add_columns", [y, x], value, move |dy, needs| {
        let dx = needs[1].then(|| {
            let mut dx = slice_columns(&dy, range);
            kernels::scale_in_place(&mut dx, scale);
            dx
        });
        [needs[0].then_some(dy), dx]
    })
}

/// `a + b` and `&a + &b` in all four combinations.
macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident) => {
        operator!($trait, $method, $function, &Var, &Var);
        operator!($trait, $method, $function, &Var, Var);
        operator!($trait, $method, $function, Var, &Var);
        operator!($trait, $method, $function, Var, Var);
    };
    ($trait:ident, $method:ident, $function:ident, $a:ty, $b:ty) => {
        impl $trait<$b> for $a {
            type Output = Var;
            #[track_caller]
            fn $method(self, other: $b) -> Var {
                $function(std::borrow::Borrow::borrow(&self), std::borrow::Borrow::borrow(&other))
            }
        }
    };
}
operator!(Add, add, add);
operator!(Sub, sub, sub);
operator!(Mul, mul, mul);
operator!(Div, div, div);

impl Mul<f32> for &Var {
    type Output = Var;
    fn mul(self, s: f32) -> Var {
        scale(self, s)
    }
}

impl Mul<f32> for Var {
    type Output = Var;
    fn mul(self, s: f32) -> Var {
        scale(&self, s)
    }
}

impl Neg for &Var {
    type Output = Var;
    fn neg(self) -> Var {
        neg(self)
    }
}

impl Neg for Var {
    type Output = Var;
    fn neg(self) -> Var {
        neg(&self)
    }
}
