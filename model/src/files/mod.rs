//! What is on the disk: model directories and adapters as Hugging Face's programs write them, GGUF files, and the cache
//! of the hub. Read in this order: [`hf`] (load and save), [`source`] (a directory or a GGUF file, checked before it is
//! read), `safetensors` and `gguf` (the formats), [`peft`] (adapters) and [`base`] (the frozen models that they stand
//! on), [`mod@describe`], [`mod@convert`].
pub(crate) mod archive;
pub(crate) mod atomic;
pub mod base;
pub mod convert;
pub mod describe;
pub mod dtype;
pub(crate) mod gguf;
pub mod hf;
pub mod hub;
pub mod peft;
pub(crate) mod safetensors;
pub mod source;
pub(crate) mod weights;
