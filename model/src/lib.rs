//! One transformer that is GPT-2 or Llama by its config; its files, its generation, its checkpoints.
//!
//! Read in this order: [`config`] (what a model is made of), [`transformer`] (tokens in, a row of channels
//! for each out; reads as the papers do), [`heads`] (rows to logits, or to one score), [`hf`] (Hugging Face
//! directories in and out), [`generate`] (the same blocks over a cache), [`score`] (log-probabilities of
//! given text), [`checkpoint`] (a training run that survives a power cut).
#![deny(unsafe_code)]

pub mod config;
pub mod error;
pub mod safetensors;
pub mod tokenizer;

mod files;

pub use config::{Arch, Config, HeadKind};
pub use error::{ModelError, Result};
pub use tokenizer::{Tokenizer, TokenizerError};
