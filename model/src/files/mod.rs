//! What is on the disk.
pub mod archive;
pub(crate) mod atomic;
pub mod convert;
pub mod dtype;
pub mod gguf;
pub mod hf;
pub mod hub;
pub mod lora;
pub mod safetensors;
pub mod source;
pub(crate) mod weights;
