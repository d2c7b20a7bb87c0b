//! Fast on the CPU.
pub use super::plain::{embed, embed_back};
