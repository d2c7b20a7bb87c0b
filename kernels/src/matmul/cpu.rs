//! Fast on the CPU.
pub use super::plain::matmul;
