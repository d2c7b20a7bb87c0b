//! Fast on the CPU.
pub use super::plain::{dropout, normal, uniform};
