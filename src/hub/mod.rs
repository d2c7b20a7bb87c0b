//! `--model org/name`, or `gpt2`: a model of huggingface.co, from the cache that all of Hugging Face's tools share, and with
//! the feature `hub` from the network into that cache.

#[cfg(feature = "hub")]
mod download;

use crate::error::{Failure, Result};
use model::hub;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether downloads say how far they are.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Downloads say nothing from now on.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

#[cfg(feature = "hub")]
fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Where a model lies: at the path itself, or in the cache where `model` is the name of one on the hub.
pub fn find(model: &Path) -> Result<PathBuf> {
    let name = model.to_str().filter(|name| hub::is_name(name) && !model.exists());
    // The name of one file is more likely a file that is missing.
    let is_file =
        |name: &str| !name.contains('/') && Path::new(name).extension().is_some() && hub::cached(name).is_none();
    let Some(name) = name.filter(|name| !is_file(name)) else { return Ok(model.to_path_buf()) };
    let no_home = || Failure::usage("there is no home folder to look for Hugging Face's cache in; set HF_HOME");
    let folder = hub::folder(name).ok_or_else(no_home)?;
    hub::cached(name).map_or_else(|| get(name, &folder), Ok)
}

#[cfg(feature = "hub")]
fn get(name: &str, folder: &Path) -> Result<PathBuf> {
    download::download(name, folder)
}

#[cfg(not(feature = "hub"))]
fn get(name: &str, folder: &Path) -> Result<PathBuf> {
    Err(Failure::model(format!(
        "{name} is no folder or file, and the model of that name is not in Hugging Face's cache ({}). This program was \
         built without the feature hub and downloads nothing: get the model with `hf download {name}` (from the Python \
         package huggingface_hub), or build with `cargo install rlhf --features hub`",
        folder.display()
    )))
}
