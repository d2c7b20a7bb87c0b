//! What can be wrong with the files of a tokenizer.

use std::path::{Path, PathBuf};

/// Why a tokenizer could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The system refused to read or write.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// `read`, `write`, …
        action: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path} is not a tokenizer that can be used: {reason}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// A file that asks for what nobody here computes.
    #[error(
        "{path} needs the {part} `{name}`, which cannot be used here. Tokenizers whose decoder is ByteLevel, Metaspace or \
         ByteFallback can: those of language models that write text (GPT, Llama, Qwen, Mistral)"
    )]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// `decoder`, `model`, …
        part: &'static str,
        /// What it is there.
        name: String,
    },
    /// No tokenizer where one is expected.
    #[error(
        "no tokenizer in {dir}: expected tokenizer.json, or vocab.json with merges.txt, or encoder.json with vocab.bpe, \
         or tokenizer.bin"
    )]
    Missing {
        /// Where.
        dir: PathBuf,
    },
}

/// The same before anyone said which file it was.
#[derive(Debug, PartialEq)]
pub(super) enum Fault {
    Malformed(String),
    Unsupported { part: &'static str, name: String },
}

impl Fault {
    pub fn at(self, path: &Path) -> TokenizerError {
        let path = path.to_path_buf();
        match self {
            Fault::Malformed(reason) => TokenizerError::Malformed { path, reason },
            Fault::Unsupported { part, name } => TokenizerError::Unsupported { path, part, name },
        }
    }
}

pub(super) fn malformed<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Malformed(reason.into()))
}

pub(super) fn unsupported<T>(part: &'static str, name: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unsupported { part, name: name.into() })
}
