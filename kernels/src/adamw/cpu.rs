//! Fast on the CPU.
pub use super::plain::adamw;
