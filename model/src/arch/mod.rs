//! Architectures: how their config.json and their tensors are called.
pub(crate) mod keys;
mod read;
pub mod tensors;
#[cfg(test)]
mod tests;
mod write;
