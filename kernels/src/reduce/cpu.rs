//! Fast on the CPU.
pub use super::plain::{count_non_finite, dot, sum, sum_rows};
