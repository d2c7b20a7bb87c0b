//! GGUF, llama.cpp's files, in and out: a model, its configuration and its tokenizer in one file.
//!
//! Reading turns a file into what a Hugging Face directory says: a config.json ([`config`]) and tensors under
//! Hugging Face's names ([`names`]) as f32 ([`blocks`]), so that both kinds load through the same code.
//! The bytes are checked in [`parse`].
mod blocks;
mod config;
mod names;
mod parse;
mod rope;
mod write;

pub use crate::arch::metadata::{Metadata, Value};
pub(crate) use config::ENDS;
pub(crate) use parse::parse;
pub(crate) use write::{describe, write};

use crate::error::{ModelError, Result};
use crate::files::atomic::map;
use crate::net::config::Config;
use memmap2::Mmap;
use names::{Names, ROPE_FREQS, Swap};
use parse::Problem;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An open file: its table is read, its numbers are mapped.
pub struct Archive {
    path: PathBuf,
    map: Mmap,
    pub metadata: Metadata,
    /// What config.json would say.
    pub config: serde_json::Value,
    /// By Hugging Face's names.
    tensors: BTreeMap<String, Tensor>,
}

pub(crate) struct Tensor {
    /// As Hugging Face's.
    shape: Vec<usize>,
    kind: blocks::Kind,
    bytes: Range<usize>,
    swap: Option<Swap>,
}

/// Is it called as GGUF files are?
pub fn named_gguf(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"))
}

/// A model in one file, not in a directory? Anything that is a file is taken for GGUF.
pub fn is_gguf(path: &Path) -> bool {
    path.is_file()
}

/// The metadata alone: of a file that need not be of an architecture that is known here.
pub fn metadata(path: &Path) -> Result<Metadata> {
    Ok(parse(&map(path)?).map_err(|problem| broken(path, problem))?.0)
}

fn broken(path: &Path, problem: Problem) -> ModelError {
    match problem {
        Problem::Broken(problem) => {
            let remedy = "A model is a directory with a config.json, or a .gguf file; download it again.";
            ModelError::file(path, format!("not a whole GGUF file: {problem}"), remedy)
        }
        Problem::Unread(problem) => {
            let remedy = "Take a Q4_K_M or Q8_0 file of the model, or make one of it with llama.cpp: llama-quantize \
                          --allow-requantize IN OUT Q8_0.";
            ModelError::file(path, problem, remedy)
        }
    }
}

impl Archive {
    pub fn open(path: &Path) -> Result<Archive> {
        let map = map(path)?;
        let (metadata, tensors) = parse(&map).map_err(|problem| broken(path, problem))?;
        let (config, tensors) = translate(&metadata, tensors, &map)
            .map_err(|problem| ModelError::file(path, problem, "Give a model that this program can compute."))?;
        Ok(Archive { path: path.into(), map, metadata, config, tensors })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|tensor| &tensor.shape[..])
    }

    /// `F32`, `Q4_K`, …
    pub fn dtype(&self, name: &str) -> Option<String> {
        self.tensors.get(name).map(|tensor| format!("{:?}", tensor.kind))
    }

    /// The numbers of the tensor `name`, as f32.
    pub fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let Some(tensor) = self.tensors.get(name) else {
            return Err(broken(&self.path, format!("no tensor `{name}`").into()));
        };
        let bytes = &self.map[tensor.bytes.clone()];
        match tensor.swap {
            None => tensor.kind.decode(bytes, out),
            Some(swap) => {
                let mut theirs = vec![0.0; out.len()];
                tensor.kind.decode(bytes, &mut theirs);
                swap.to_hf(&theirs, out);
            }
        }
        Ok(())
    }
}

/// generation_config.json, of which GGUF has keys for the end tokens alone; of no meaning to other programs.
pub(crate) const GENERATION_KEY: &str = "rlhf.generation_config";

pub(crate) fn generation(metadata: &Metadata) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    match metadata.get(GENERATION_KEY) {
        None => Ok(Default::default()),
        Some(Value::Text(text)) => serde_json::from_str(text).map_err(|error| format!("`{GENERATION_KEY}`: {error}")),
        Some(_) => Err(format!("`{GENERATION_KEY}`: expected a text")),
    }
}

type Translated = (serde_json::Value, BTreeMap<String, Tensor>);

/// What config.json would say, and the tensors of a file under Hugging Face's names.
pub(crate) fn translate(metadata: &Metadata, tensors: Vec<parse::Tensor>, file: &[u8]) -> Result<Translated, String> {
    let vocab = tensors.iter().find(|t| t.name == "token_embd.weight").map(|t| t.shape[0]);
    let vocab = vocab.ok_or("no tensor `token_embd.weight`: it is a vocabulary or an adapter, not a whole model")?;
    let names: HashSet<&str> = tensors.iter().map(|t| &t.name[..]).collect();
    let slower = tensors.iter().find(|t| t.name == ROPE_FREQS).map(|tensor| {
        let mut numbers = vec![0.0; tensor.shape.iter().product()];
        tensor.kind.decode(&file[tensor.bytes.clone()], &mut numbers);
        numbers
    });
    let config = config::to_hf(metadata, vocab, |name| names.contains(name), slower.as_deref())?;
    let stated = Config::from_hf(&config)?;
    let names = Names::of(&stated);
    let mut found = BTreeMap::new();
    for parse::Tensor { name, shape, kind, bytes } in tensors.into_iter().filter(|t| t.name != ROPE_FREQS) {
        let Some(hf) = names.to_hf(&name) else {
            return Err(format!("tensor `{name}` is no part of a model that this program computes"));
        };
        let shape = names.hf_shape(&name, &shape);
        let (_, swap) = names.swap(&name, &shape)?;
        found.insert(hf, Tensor { shape, kind, bytes, swap });
    }
    Ok((config, found))
}
