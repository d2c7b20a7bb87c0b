//! A model as the verbs read it (a directory, a GGUF file, or a name on the hub): network, numbers, and the
//! tokenizer if it has one.

use crate::error::{Failure, Result};
use crate::hub;
use crate::run::library_failure;
use kernels::Device;
use model::{Config, HeadKind, Loaded, Tokenizer, lora};
use rlhf_core::data::{Codec, Template};
use std::path::{Path, PathBuf};

pub struct Opened {
    /// Where it lies.
    pub path: PathBuf,
    pub loaded: Loaded,
    pub tokenizer: Option<Tokenizer>,
}

/// Loads a model whose head is of the given kind, to answer with it: it is not trained.
pub fn open(dir: &Path, head: HeadKind, device: &Device) -> Result<Opened> {
    open_with(dir, None, head, device)
}

/// The same with a tokenizer from elsewhere, for models that have none.
pub fn open_with(dir: &Path, file: Option<&Path>, head: HeadKind, device: &Device) -> Result<Opened> {
    let path = hub::find(dir)?;
    let loaded = model::load_to_answer(&path, device).map_err(library_failure)?;
    read(path, file, head, loaded)
}

/// The same of a model that has been loaded from `path`.
pub fn read(path: PathBuf, file: Option<&Path>, head: HeadKind, loaded: Loaded) -> Result<Opened> {
    let dir = &path;
    if loaded.head() != head {
        let (is, wanted) = match head {
            HeadKind::Lm => ("a reward model", "a language model; to score text with it use rlhf reward"),
            HeadKind::Score => ("a language model", "a reward model, made by rlhf rm"),
        };
        return Err(Failure::usage(format!("{} is {is}; this needs {wanted}", dir.display())));
    }
    let tokenizer = match file {
        Some(file) => Some(Tokenizer::from_file(file).map_err(library_failure)?),
        None => tokenizer(&path)?,
    };
    let size = tokenizer.as_ref().map_or(0, Tokenizer::vocab_size);
    if size > loaded.config().vocab {
        let (dir, vocab) = (dir.display(), loaded.config().vocab);
        return Err(Failure::model(format!(
            "{dir}: its tokenizer has {size} tokens, the model {vocab}; they do not belong together"
        )));
    }
    Ok(Opened { path, loaded, tokenizer })
}

/// The tokenizer of a model, or of that which an adapter stands on; `None` when there is none.
pub fn tokenizer(path: &Path) -> Result<Option<Tokenizer>> {
    Tokenizer::of_model(&with_tokenizer(path)?).map_err(library_failure)
}

fn with_tokenizer(path: &Path) -> Result<PathBuf> {
    match lora::is_adapter(path) && Tokenizer::find(path).is_none() {
        true => lora::base_of(path).map_err(library_failure),
        false => Ok(path.to_path_buf()),
    }
}

/// A context that was asked for, of a model that holds `most` tokens.
pub fn shorter(most: usize, context: usize) -> Result<usize> {
    match (2..=most).contains(&context) {
        true => Ok(context),
        false => Err(Failure::usage(format!("--context {context}: the model reads 2 to {most} tokens"))),
    }
}

/// How text becomes tokens for a model, by the tokenizer that it brings.
pub fn codec_of(path: &Path, config: &Config) -> Result<Codec> {
    let missing = || Failure::model(format!("{} has no tokenizer; copy its tokenizer.json there", path.display()));
    codec(path, tokenizer(path)?.ok_or_else(missing)?, config)
}

fn codec(path: &Path, tokenizer: Tokenizer, config: &Config) -> Result<Codec> {
    let template =
        Template::of_model(&with_tokenizer(path)?).map_err(library_failure)?.unwrap_or_else(Template::dialogue);
    Codec::new(tokenizer, config.context, template, &config.eos).map_err(library_failure)
}

impl Opened {
    /// How text becomes this model's tokens, by its own chat template or, where it brings none, as a dialogue.
    pub fn codec(&self) -> Result<Codec> {
        let missing = || {
            Failure::model(format!(
                "{} has no tokenizer; give token ids instead of text, or copy its tokenizer.json there",
                self.path.display()
            ))
        };
        let tokenizer = self.tokenizer.clone().ok_or_else(missing)?;
        codec(&self.path, tokenizer, self.loaded.config())
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
