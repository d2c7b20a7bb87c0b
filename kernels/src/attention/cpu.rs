//! Fast on the CPU.
pub use super::plain::{attention, attention_back, attention_cached, kv_append};
