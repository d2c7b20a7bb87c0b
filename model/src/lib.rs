//! model: one transformer.

pub mod tokenizer;

pub use tokenizer::{Tokenizer, TokenizerError};
