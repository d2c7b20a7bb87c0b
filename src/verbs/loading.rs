//! A model directory as the verbs read it: network, numbers, and the tokenizer if it has one.

use crate::error::{Failure, Result};
use crate::run::library_failure;
use kernels::Device;
use model::{Config, HeadKind, Loaded, Tokenizer, lora};
use rlhf_core::data::{Codec, Template};
use std::path::{Path, PathBuf};

pub struct Opened {
    pub loaded: Loaded,
    pub tokenizer: Option<Tokenizer>,
}

/// Loads a directory whose head is of the given kind.
pub fn open(dir: &Path, head: HeadKind, device: &Device) -> Result<Opened> {
    open_with(dir, None, head, device)
}

/// The same with a tokenizer from elsewhere, for directories that have none.
pub fn open_with(dir: &Path, file: Option<&Path>, head: HeadKind, device: &Device) -> Result<Opened> {
    read(dir, file, head, model::load(dir, device).map_err(library_failure)?)
}

/// The same of a model that has been loaded.
pub fn read(dir: &Path, file: Option<&Path>, head: HeadKind, loaded: Loaded) -> Result<Opened> {
    if loaded.head() != head {
        let (is, wanted) = match head {
            HeadKind::Lm => ("a reward model", "a language model; to score text with it use rlhf reward"),
            HeadKind::Score => ("a language model", "a reward model, made by rlhf rm"),
        };
        return Err(Failure::usage(format!("{} is {is}; this needs {wanted}", dir.display())));
    }
    let tokenizer = match file {
        Some(file) => Some(Tokenizer::from_file(file).map_err(library_failure)?),
        None => tokenizer(dir)?,
    };
    let size = tokenizer.as_ref().map_or(0, Tokenizer::vocab_size);
    if size > loaded.config().vocab {
        let (dir, vocab) = (dir.display(), loaded.config().vocab);
        return Err(Failure::model(format!(
            "{dir}: its tokenizer has {size} tokens, the model {vocab}; they do not belong together"
        )));
    }
    Ok(Opened { loaded, tokenizer })
}

/// The tokenizer of a model directory, or of that which an adapter stands on; `None` when there is none.
pub fn tokenizer(dir: &Path) -> Result<Option<Tokenizer>> {
    Tokenizer::find(&with_tokenizer(dir)?).map(|file| Tokenizer::from_file(&file).map_err(library_failure)).transpose()
}

fn with_tokenizer(dir: &Path) -> Result<PathBuf> {
    match lora::is_adapter(dir) && Tokenizer::find(dir).is_none() {
        true => lora::base_of(dir).map_err(library_failure),
        false => Ok(dir.to_path_buf()),
    }
}

pub fn codec(dir: &Path, tokenizer: Tokenizer, config: &Config) -> Result<Codec> {
    let template =
        Template::of_model(&with_tokenizer(dir)?).map_err(library_failure)?.unwrap_or_else(Template::dialogue);
    Codec::new(tokenizer, config.context, template, &config.eos).map_err(library_failure)
}

impl Opened {
    pub fn tokenizer(&self, dir: &Path) -> Result<&Tokenizer> {
        let missing = || {
            Failure::model(format!(
                "{} has no tokenizer.json; give token ids instead of text, or copy the file there",
                dir.display()
            ))
        };
        self.tokenizer.as_ref().ok_or_else(missing)
    }

    /// How text becomes this model's tokens, by its own chat template or, where it brings none, as a dialogue.
    pub fn codec(&self, dir: &Path) -> Result<Codec> {
        codec(dir, self.tokenizer(dir)?.clone(), self.loaded.config())
    }

    /// What ends an answer: the config's list, or the tokenizer's end of text.
    pub fn eos(&self) -> Vec<u32> {
        let eos = &self.loaded.config().eos;
        match &self.tokenizer {
            Some(tokenizer) if eos.is_empty() => vec![tokenizer.eos()],
            _ => eos.clone(),
        }
    }
}
