//! What the CPU kernels share.
pub mod pool;
