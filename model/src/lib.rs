//! One transformer that is GPT-2, Llama, Mistral, Qwen2, Qwen3 or GPT-NeoX by its config; its tokenizer, its files,
//! its generation, its checkpoints.
//!
//! Read in this order: [`net`] (what computes: begin with [`net::transformer`]), [`arch`] (whose model it is: names of
//! keys and of tensors), [`files`] (what is on the disk), [`tokenizer`] (text to tokens and back), [`checkpoint`] (a
//! training run that survives a power cut).
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod arch;
pub mod checkpoint;
pub mod error;
pub mod files;
pub mod net;
pub mod tokenizer;

mod json;
#[cfg(test)]
mod tests;

pub use arch::tensors::{TensorMap, tensor_maps};
pub use arch::{ARCHS, Arch};
pub use checkpoint::Checkpoint;
pub use error::{ModelError, Result};
pub use files::base::{BaseModel, BaseModels};
pub use files::convert::convert;
pub use files::describe::{Description, describe, read_config, stated_config};
pub use files::dtype::Dtype;
pub use files::gguf::named_gguf;
pub use files::hf::{load, load_sharing, load_to_answer, save};
pub use files::hub;
pub use files::source::{self, ChatTemplate, chat_template};
pub use net::block::Dropout;
pub use net::cache::Cache;
pub use net::config::{Activation, Biases, Config, HeadKind, NormKind};
pub use net::engine::{Engine, Event, Finish, Request, RequestId};
pub use net::generate::{GenerateConfig, Generated, generate};
pub use net::model::Model;
pub use net::rope::{Rope, Scaling};
pub use net::score;
pub use net::transformer::Transformer;
pub use tokenizer::{Tokenizer, TokenizerError};

/// Adapters: what they compute ([`net::adapter`]) and their files ([`files::peft`]).
pub mod lora {
    pub use crate::files::peft::{attach, base_of, check_name, count, is_adapter, modules};
    pub use crate::net::adapter::merge;
    pub use crate::net::config::Lora;
}
