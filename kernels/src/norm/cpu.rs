//! Fast on the CPU.
pub use super::plain::{layer_norm, layer_norm_back, rms_norm, rms_norm_back};
