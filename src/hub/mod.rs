//! `--model org/name`: a model of huggingface.co, from the cache that all of Hugging Face's tools share, and with
//! the feature `hub` from the network into that cache.

#[cfg(feature = "hub")]
mod download;

use crate::error::{Failure, Result};
use std::ffi::OsString;
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
    let name = model.to_str().filter(|name| is_name(name) && !model.exists());
    let Some(name) = name else { return Ok(model.to_path_buf()) };
    let folder = cache(|key| std::env::var_os(key))?.join(format!("models--{}", name.replace('/', "--")));
    match snapshot(&folder).filter(|dir| is_whole(dir)) {
        Some(dir) => Ok(dir),
        None => get(name, &folder),
    }
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

/// `org/name` as the hub allows it: two parts of letters, digits, `-`, `_` and `.`, none of them a path like `..`.
fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=96).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    text.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |key: &str| variable(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let standard = || set("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let home = || set("HF_HOME").or_else(|| Some(standard()?.join("huggingface")));
    set("HF_HUB_CACHE")
        .or_else(|| Some(home()?.join("hub")))
        .ok_or_else(|| Failure::usage("there is no home folder to look for Hugging Face's cache in; set HF_HOME"))
}

/// The folder of the revision that `refs/main` names.
fn snapshot(folder: &Path) -> Option<PathBuf> {
    let revision = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    let revision = revision.trim();
    is_revision(revision).then(|| folder.join("snapshots").join(revision))
}

fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Has it a config.json and all its weights? A download that was broken off has not.
fn is_whole(dir: &Path) -> bool {
    let shards = || -> Option<bool> {
        let index = std::fs::read(dir.join("model.safetensors.index.json")).ok()?;
        Some(shards(&index)?.iter().all(|name| dir.join(name).exists()))
    };
    dir.join("config.json").exists() && (dir.join("model.safetensors").exists() || shards().unwrap_or(false))
}

/// The files that an index of shards names.
fn shards(index: &[u8]) -> Option<std::collections::BTreeSet<String>> {
    let index: serde_json::Value = serde_json::from_slice(index).ok()?;
    index["weight_map"].as_object()?.values().map(|name| name.as_str().map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn names_are_told_from_paths() {
        for name in ["HuggingFaceTB/SmolLM2-135M-Instruct", "a/b", "openai-community/gpt2", "x/y.z_1"] {
            assert!(is_name(name), "{name}");
        }
        for path in ["gpt2", "/a/b", "./a", "../a", "a/..", "a/b/c", "a/", "/a", "a\\b/c", "~/x", "a b/c", "", "é/b"] {
            assert!(!is_name(path), "{path}");
        }
    }

    #[test]
    fn the_cache_is_where_hugging_face_has_it() {
        let with = |set: &[(&str, &str)]| {
            cache(|key| set.iter().find(|(k, _)| *k == key).map(|(_, value)| value.into())).unwrap()
        };
        assert_eq!(with(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]), Path::new("/c"));
        assert_eq!(with(&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/h/hub"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "")]), Path::new("/x/huggingface/hub"));
        assert!(with(&[]).ends_with(".cache/huggingface/hub"));
    }

    #[test]
    fn a_snapshot_is_found_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert_eq!(snapshot(folder), None);
        fs::create_dir_all(folder.join("refs")).unwrap();
        fs::write(folder.join("refs/main"), "../../../etc").unwrap();
        assert_eq!(snapshot(folder), None);
        let revision = "0123456789abcdef0123456789abcdef01234567";
        fs::write(folder.join("refs/main"), format!("{revision}\n")).unwrap();
        let at = snapshot(folder).unwrap();
        assert!(at.ends_with(format!("snapshots/{revision}")));
        fs::create_dir_all(&at).unwrap();
        fs::write(at.join("config.json"), "{}").unwrap();
        assert!(!is_whole(&at));
        let index = r#"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}}"#;
        fs::write(at.join("model.safetensors.index.json"), index).unwrap();
        fs::write(at.join("1.safetensors"), "").unwrap();
        assert!(!is_whole(&at));
        fs::write(at.join("2.safetensors"), "").unwrap();
        assert!(is_whole(&at));
    }
}
