//! Fast on the CPU.
pub use super::plain::{pack, unpack};
