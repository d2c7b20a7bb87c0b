//! One transformer that is GPT-2, Llama, Mistral, Qwen2, Qwen3 or GPT-NeoX by its config; its tokenizer, its files,
//! its generation, its checkpoints.
//!
//! Read in this order: [`config`] (what a model is made of), [`transformer`] (tokens in, a row of channels
//! for each out; reads as the papers do), [`heads`] (rows to logits, or to one score), [`hf`] (Hugging Face
//! directories in and out) and [`windows`] (whose tensor is which), [`source`] (any model on the disk), [`gguf`]
//! (llama.cpp's files), [`mod@convert`] (from one into the other), [`mod@generate`] (the same blocks over a cache),
//! [`score`] (log-probabilities of given text), [`lora`] (adapters upon a frozen model), [`checkpoint`] (a training run that survives a power cut),
//! [`tokenizer`] (text to tokens and back).
#![deny(unsafe_code)]

pub mod archive;
pub mod cache;
pub mod checkpoint;
pub mod config;
pub mod convert;
pub mod dtype;
pub mod error;
pub mod generate;
pub mod gguf;
pub mod heads;
pub mod hf;
pub mod hub;
pub mod lora;
pub mod safetensors;
pub mod score;
pub mod source;
pub mod tokenizer;
pub mod transformer;
pub mod windows;

mod files;
mod json;
#[cfg(test)]
mod tests;
mod weights;

pub use cache::Cache;
pub use checkpoint::Checkpoint;
pub use config::{Activation, Arch, Biases, Config, HeadKind, NormKind, Rope, Scaling};
pub use convert::convert;
pub use dtype::Dtype;
pub use error::{ModelError, Result};
pub use generate::{GenerateConfig, Generated, generate};
pub use gguf::named_gguf;
pub use hf::{Loaded, load, load_sharing, load_to_answer, save};
pub use lora::Bases;
pub use source::{ChatTemplate, Description, chat_template, describe, read_config, stated_config};
pub use tokenizer::{Tokenizer, TokenizerError};
pub use transformer::{Dropout, Transformer};
pub use windows::{Window, hf_windows};
