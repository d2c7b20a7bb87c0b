//! Fast on the CPU.
pub use super::plain::{entropy, logprob, logprob_back};
