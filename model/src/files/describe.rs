//! What can be said of a model on the disk without its numbers.
use super::peft;
use super::source::{Source, add_generation, load_config, read_json};
use crate::arch::tensors::tensor_maps;
use crate::error::Result;
use crate::net::config::{Config, HeadKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Config of a model on the disk, an adapter's included.
///
/// # Errors
/// As [`load`](crate::load), but for the numbers, which are not read.
pub fn read_config(path: &Path) -> Result<Config> {
    if peft::is_adapter(path) {
        let mut config = read_config(&peft::base_of(path)?)?;
        add_generation(path, &mut config)?;
        return Ok(config);
    }
    let source = Source::open(path)?;
    source.check_size()?;
    Ok(source.config)
}

/// The same, to read text with: no numbers need be there.
///
/// # Errors
/// What the files say is not understood.
pub fn stated_config(path: &Path) -> Result<Config> {
    match path.is_dir() && !peft::is_adapter(path) {
        true => load_config(path, &read_json(&path.join("config.json"))?),
        false => read_config(path),
    }
}

/// What can be said of a model without its numbers.
pub struct Description {
    /// What it is made of.
    pub config: Config,
    /// Does it say the next token, or a score?
    pub head: HeadKind,
    /// How many numbers learn when it is trained.
    pub learning: usize,
    /// How many do not.
    pub frozen: usize,
    /// Of an adapter: its rank, and the model that it stands on.
    pub adapter: Option<(usize, PathBuf)>,
    /// Bytes of the numbers of a model that only answers, on the CPU.
    pub answering: usize,
    /// How many tensors of the model are stored as what.
    pub dtypes: BTreeMap<String, usize>,
}

/// Describes a model from config.json and the tables of the files alone: at once, however large it is.
///
/// # Errors
/// As [`load`](crate::load), but for the numbers, which are not read.
pub fn describe(path: &Path) -> Result<Description> {
    if peft::is_adapter(path) {
        let peft::Said { head, learning, rank, base } = peft::describe(path)?;
        let on = describe(&base)?;
        let answering = on.answering + 4 * learning;
        return Ok(Description { head, learning, frozen: on.learning, adapter: Some((rank, base)), answering, ..on });
    }
    let source = Source::open(path)?;
    let (model, tensors) = source.tensors()?;
    let maps: Vec<_> = tensor_maps(&model).into_iter().zip(tensors).collect();
    let bytes = maps.chunk_by(|(a, _), (b, _)| a.param == b.param).map(|parts| {
        let halves = parts.iter().all(|(map, (_, shape))| shape.len() == 2 && source.weights.is_bf16(map));
        let numbers: usize = parts.iter().map(|(_, (_, shape))| shape.iter().product::<usize>()).sum();
        if halves { 2 * numbers } else { 4 * numbers }
    });
    let answering = bytes.sum();
    let (config, head) = (model.config.clone(), model.head_kind());
    let learning = config.parameters(head).expect("no more than the files hold");
    Ok(Description { config, head, learning, frozen: 0, adapter: None, answering, dtypes: source.weights.dtypes() })
}
