//! One transformer that is GPT-2, Llama, Mistral, Qwen2, Qwen3 or GPT-NeoX by its config; its tokenizer, its files,
//! its generation, its checkpoints.
//!
//! Read in this order: [`net`] (what computes: begin with [`net::transformer`]), [`arch`] (whose model it is: names of
//! keys and of tensors), [`files`] (what is on the disk), [`tokenizer`] (text to tokens and back), [`checkpoint`] (a
//! training run that survives a power cut).
#![deny(unsafe_code)]

pub mod arch;
pub mod checkpoint;
pub mod error;
pub mod files;
pub mod net;
pub mod tokenizer;

mod json;
#[cfg(test)]
mod tests;

pub use arch::tensors::{Window, hf_windows};
pub use checkpoint::Checkpoint;
pub use error::{ModelError, Result};
pub use files::convert::convert;
pub use files::dtype::Dtype;
pub use files::gguf::named_gguf;
pub use files::hf::{Loaded, load, load_sharing, load_to_answer, save};
pub use files::lora::Bases;
pub use files::source::{ChatTemplate, Description, chat_template, describe, read_config, stated_config};
pub use files::{hf, hub, lora, source};
pub use net::cache::Cache;
pub use net::config::{Activation, Arch, Biases, Config, HeadKind, NormKind};
pub use net::generate::{GenerateConfig, Generated, generate};
pub use net::rope::{Rope, Scaling};
pub use net::score;
pub use net::transformer::{Dropout, Transformer};
pub use tokenizer::{Tokenizer, TokenizerError};
