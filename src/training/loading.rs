//! A model as the verbs read it (a directory, a GGUF file, or a name on the hub): network, numbers, and the
//! tokenizer if it has one.

use crate::error::{Failure, Result, library_failure};
use crate::hub;
use crate::training::memory::{self, Reader};
use kernels::{Device, Precision};
use model::{Config, HeadKind, Model, Tokenizer, lora};
use rlhf_core::data::{Processor, Template};
use std::path::{Path, PathBuf};

pub struct Opened {
    /// Where it lies.
    pub path: PathBuf,
    pub loaded: Model,
    pub tokenizer: Option<Tokenizer>,
}

/// Loads a model whose head is of the given kind, to answer with it, if it fits into memory: it is not trained.
pub fn open(dir: &Path, head: HeadKind, device: &Device) -> Result<Opened> {
    open_with(dir, None, head, device, None)
}

/// A language model to write with. `file`: a tokenizer from elsewhere, for models that have none.
pub fn open_to_write(dir: &Path, file: Option<&Path>, device: &Device, precision: Precision) -> Result<Opened> {
    open_with(dir, file, HeadKind::Lm, device, Some(precision))
}

fn open_with(
    dir: &Path,
    file: Option<&Path>,
    head: HeadKind,
    device: &Device,
    decoding: Option<Precision>,
) -> Result<Opened> {
    let path = hub::find(dir)?;
    memory::check(&Reader::of(&path, device)?.loaded(decoding), device)?;
    let loaded = model::load_to_answer(&path, device).map_err(library_failure)?;
    read(path, file, head, loaded)
}

/// The same of a model that has been loaded from `path`.
pub fn read(path: PathBuf, file: Option<&Path>, head: HeadKind, loaded: Model) -> Result<Opened> {
    let dir = &path;
    check_head(dir, loaded.head(), Some(head))?;
    let tokenizer = match file {
        Some(file) => Some(Tokenizer::from_file(file).map_err(library_failure)?),
        None => tokenizer(&path)?,
    };
    if let Some(tokenizer) = &tokenizer {
        fits(tokenizer, loaded.config(), dir)?;
    }
    Ok(Opened { path, loaded, tokenizer })
}

/// Refuses a model with another head than is wanted; None: any will do.
pub fn check_head(dir: &Path, is: HeadKind, wanted: Option<HeadKind>) -> Result {
    let (is, wanted) = match wanted.filter(|head| *head != is) {
        None => return Ok(()),
        Some(HeadKind::Lm) => ("a reward model", "a language model; to score text with it use rlhf reward"),
        Some(HeadKind::Score) => ("a language model", "a reward model, made by rlhf rm"),
    };
    Err(Failure::usage(format!("{} is {is}; this needs {wanted}", dir.display())))
}

/// Refuses a tokenizer with tokens that the model does not know, but for such as no text becomes, which are told.
fn fits(tokenizer: &Tokenizer, config: &Config, dir: &Path) -> Result {
    match tokenizer.fits(config.vocab) {
        Ok(None) => {}
        Ok(Some(left_out)) => eprintln!("{}: {left_out}", dir.display()),
        Err(problem) => return Err(Failure::model(format!("{}: {problem}", dir.display()))),
    }
    Ok(())
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
pub fn processor_of(path: &Path, config: &Config) -> Result<Processor> {
    let missing = || Failure::model(format!("{} has no tokenizer; copy its tokenizer.json there", path.display()));
    let tokenizer = tokenizer(path)?.ok_or_else(missing)?;
    fits(&tokenizer, config, path)?;
    processor(path, tokenizer, config)
}

/// The same to look at data with: a tokenizer that the model is too small for is told, and used.
pub fn processor_to_look(path: &Path, config: &Config) -> Result<Processor> {
    match tokenizer(path)? {
        Some(tokenizer) if fits(&tokenizer, config, path).is_err() => {
            let (dir, size, vocab) = (path.display(), tokenizer.vocab_size(), config.vocab);
            eprintln!("{dir}: its tokenizer has {size} tokens, the model {vocab}; it cannot be used with it");
            processor(path, tokenizer, &Config { vocab: size, ..config.clone() })
        }
        _ => processor_of(path, config),
    }
}

fn processor(path: &Path, tokenizer: Tokenizer, config: &Config) -> Result<Processor> {
    let template =
        Template::of_model(&with_tokenizer(path)?).map_err(library_failure)?.unwrap_or_else(Template::dialogue);
    let mut processor =
        Processor::new(tokenizer, config.context, template, &config.eos_ids).map_err(library_failure)?;
    processor.rows = config.vocab;
    if let Some(end) = processor.eos_ids.iter().find(|&&id| id as usize >= config.vocab) {
        let problem = format!("its template ends answers with token {end}, and the model has {} rows", config.vocab);
        return Err(Failure::model(format!("{}: {problem}", path.display())));
    }
    Ok(processor)
}

/// Can a reward model read what a policy with so many rows of embedding writes? A policy draws any id that it has a row
/// for, so rows are compared with rows; a tokenizer may have fewer tokens than either.
pub fn check_rows(judge: &Path, theirs: usize, ours: usize) -> Result {
    match theirs >= ours {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{}: its embedding has {theirs} rows, the policy's {ours}: it cannot read every token that the policy may \
             write; take a reward model made from this policy or from its base",
            judge.display()
        ))),
    }
}

/// Do the policy's tokens mean the same to a reward model? Tokens that it has besides, such as padding, do not matter.
pub fn check_tokens(judge: &Path, processor: &Processor) -> Result {
    let dir = judge.display();
    let Some(theirs) = tokenizer(judge)? else {
        return Err(Failure::model(format!(
            "{dir} has no tokenizer to compare with the policy's; copy the tokenizer.json that it was trained with there"
        )));
    };
    let ours = &processor.tokenizer;
    let named = |id: u32, of: &Tokenizer| format!("{:?}", String::from_utf8_lossy(of.piece(id)));
    match (0..ours.vocab_size() as u32).find(|&id| ours.piece(id) != theirs.piece(id)) {
        None => Ok(()),
        Some(id) => Err(Failure::usage(format!(
            "{dir}: its tokenizer is not the policy's: token {id} is {} to it and {} to the policy; policy and reward \
             model must share one tokenizer",
            named(id, &theirs),
            named(id, ours)
        ))),
    }
}

impl Opened {
    /// How text becomes this model's tokens, by its own chat template or, where it brings none, as a dialogue.
    pub fn processor(&self) -> Result<Processor> {
        let missing = || {
            Failure::model(format!(
                "{} has no tokenizer; give token ids instead of text, or copy its tokenizer.json there",
                self.path.display()
            ))
        };
        let tokenizer = self.tokenizer.clone().ok_or_else(missing)?;
        processor(&self.path, tokenizer, self.loaded.config())
    }

    /// What ends an answer: the config's list, or the tokenizer's end of text.
    pub fn eos(&self) -> Vec<u32> {
        let eos = &self.loaded.config().eos_ids;
        match &self.tokenizer {
            Some(tokenizer) if eos.is_empty() => vec![tokenizer.eos()],
            _ => eos.clone(),
        }
    }
}
