//! Hugging Face's cache, which all of its tools share: where the model that is called `org/name` on the hub lies.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The model of that name, where it is in the cache and whole.
pub fn cached(name: &str) -> Option<PathBuf> {
    is_name(name).then(|| snapshot(&folder(name)?).filter(|dir| is_whole(dir)))?
}

/// What the hub calls the model that lies in this folder of the cache.
pub fn name_of(dir: &Path) -> Option<String> {
    let folder = dir.parent()?.parent()?.file_name()?.to_str()?;
    let name = folder.strip_prefix("models--")?.replacen("--", "/", 1);
    let same = |other: PathBuf| other.canonicalize().ok() == dir.canonicalize().ok();
    cached(&name).is_some_and(same).then_some(name)
}

/// What the cache keeps of the model of that name; `None` where there is no home folder.
pub fn folder(name: &str) -> Option<PathBuf> {
    Some(cache(|key| std::env::var_os(key))?.join(format!("models--{}", name.replace('/', "--"))))
}

/// `org/name` as the hub allows it: two parts of letters, digits, `-`, `_` and `.`, none of them a path like `..`.
pub fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=96).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    text.split_once('/').is_some_and(|(org, name)| is_part(org) && is_part(name))
}

/// $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let set = |key: &str| variable(key).filter(|value| !value.is_empty()).map(PathBuf::from);
    let standard = || set("XDG_CACHE_HOME").or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let home = || set("HF_HOME").or_else(|| Some(standard()?.join("huggingface")));
    set("HF_HUB_CACHE").or_else(|| Some(home()?.join("hub")))
}

/// The folder of the revision that `refs/main` names.
pub fn snapshot(folder: &Path) -> Option<PathBuf> {
    let revision = std::fs::read_to_string(folder.join("refs/main")).ok()?;
    let revision = revision.trim();
    is_revision(revision).then(|| folder.join("snapshots").join(revision))
}

/// The hash of a commit.
pub fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Has it a config.json and all its weights? A download that was broken off has not.
pub fn is_whole(dir: &Path) -> bool {
    let shards = || -> Option<bool> {
        let index = std::fs::read(dir.join("model.safetensors.index.json")).ok()?;
        Some(shards(&index)?.iter().all(|name| dir.join(name).exists()))
    };
    dir.join("config.json").exists() && (dir.join("model.safetensors").exists() || shards().unwrap_or(false))
}

/// The files that an index of shards names.
pub fn shards(index: &[u8]) -> Option<BTreeSet<String>> {
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
