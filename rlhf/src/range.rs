//! The range of every number that a user can give. It is written once, beside the key, as the parser of its flag; values
//! from files go through the same parser. NaN and infinity are in no range.

use std::str::FromStr;

/// Tokens of a context, a completion or a vocabulary: what a model of today may have, with room.
pub const TOKENS: usize = 1 << 24;
/// Steps, rows and the like.
pub const MANY: usize = 1_000_000_000;

/// What a flag's text becomes, or what it should have been.
type Parsed<T> = Result<T, String>;

/// A number from `low` to `high`.
pub fn within<T: Number>(low: f64, high: f64) -> impl Fn(&str) -> Parsed<T> + Clone + Send + Sync + 'static {
    move |text| number(text, |x| (low..=high).contains(&x), || format!("it is a number from {low} to {high}"))
}

/// A number above 0, at most `high`; even as f32, with which is computed, it must not be 0.
pub fn positive<T: Number>(high: f64) -> impl Fn(&str) -> Parsed<T> + Clone + Send + Sync + 'static {
    let most = if high < f64::from(f32::MAX) { format!(", at most {high}") } else { String::new() };
    move |text| number(text, |x| x as f32 > 0.0 && x <= high, || format!("it is a number above 0{most}"))
}

/// A learning rate: any number above 0 that f32 holds. One that is too high diverges, and is found out by that.
pub fn rate<T: Number>() -> impl Fn(&str) -> Parsed<T> + Clone + Send + Sync + 'static {
    positive(f64::from(f32::MAX))
}

/// A whole number from `low` to `high`.
pub fn count(low: usize, high: usize) -> impl Fn(&str) -> Parsed<usize> + Clone + Send + Sync + 'static {
    move |text| {
        let n = text.parse().ok().filter(|n| (low..=high).contains(n));
        n.ok_or_else(|| format!("it is a whole number from {low} to {high}"))
    }
}

/// What numbers of keys are kept as.
pub trait Number: FromStr + Clone + Send + Sync + 'static {
    /// From the number that was read.
    fn of(value: f64) -> Self;
}

impl Number for f64 {
    fn of(value: f64) -> f64 {
        value
    }
}

impl Number for f32 {
    fn of(value: f64) -> f32 {
        value as f32
    }
}

fn number<T: Number>(text: &str, fits: impl Fn(f64) -> bool, range: impl Fn() -> String) -> Parsed<T> {
    text.parse::<f64>().ok().filter(|x| fits(*x)).map(T::of).ok_or_else(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_in_and_what_is_no_number_is_out() {
        let share = within::<f64>(0.0, 1.0);
        assert_eq!((share("0"), share("1"), share("1e-3")), (Ok(0.0), Ok(1.0), Ok(1e-3)));
        for wrong in ["nan", "inf", "-inf", "-0.1", "1.0000001", "a", "", "1e400"] {
            assert_eq!(share(wrong).unwrap_err(), "it is a number from 0 to 1", "{wrong}");
        }
        for wrong in ["0", "1e-60", "nan", "inf", "-1", "4e38"] {
            assert_eq!(rate::<f32>()(wrong).unwrap_err(), "it is a number above 0", "{wrong}");
        }
        assert_eq!(count(1, 9)("10").unwrap_err(), "it is a whole number from 1 to 9");
        assert!(count(1, 9)("1.5").is_err() && count(1, 9)("-1").is_err() && count(1, 9)("9").is_ok());
    }
}
