//! Fast on the CPU.
pub use super::plain::{swiglu, swiglu_back};
