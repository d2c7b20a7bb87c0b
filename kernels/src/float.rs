//! The numbers the plain loops run on: f32, or f64 when a loop serves as the oracle of a test.
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

/// f32 or f64.
pub trait Float:
    Copy
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
{
    /// The nearest number.
    fn of(x: f64) -> Self;
    /// The same number in f64.
    fn to_f64(self) -> f64;
    /// eˣ
    fn exp(self) -> Self;
    /// The natural logarithm.
    fn ln(self) -> Self;
    /// √x
    fn sqrt(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;

    /// The larger; of a NaN and a number, `other`.
    fn max(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    /// The smaller; of a NaN and a number, `other`.
    fn min(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
}

macro_rules! float {
    ($t:ty) => {
        impl Float for $t {
            fn of(x: f64) -> $t {
                x as $t
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn exp(self) -> $t {
                self.exp()
            }
            fn ln(self) -> $t {
                self.ln()
            }
            fn sqrt(self) -> $t {
                self.sqrt()
            }
            fn tanh(self) -> $t {
                self.tanh()
            }
        }
    };
}
float!(f32);
float!(f64);
