//! Hugging Face's cache, which all of its tools share: where the model that is called `org/name` on the hub lies.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The model or adapter of that name, where it is in the cache and whole.
pub fn cached(name: &str) -> Option<PathBuf> {
    cached_at(name, None)
}

/// The same of another revision than the newest: a commit, a branch or a tag.
pub fn cached_at(name: &str, revision: Option<&str>) -> Option<PathBuf> {
    let dir = |folder: PathBuf| match revision {
        Some(commit) if is_revision(commit) => Some(folder.join("snapshots").join(commit)),
        Some(branch) => is_name(branch).then(|| snapshot_of(&folder, branch))?,
        None => snapshot(&folder),
    };
    is_name(name).then(|| dir(folder(name)?).filter(|dir| is_whole(dir)))?
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

/// `org/name`, or `gpt2` as the first models are called, as the hub allows it: parts of letters, digits, `-`, `_` and
/// `.`, none of them a path like `..`.
pub fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        (1..=96).contains(&part.len())
            && part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(is_part) && !text.contains("--") && !text.contains("..")
}

/// $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub.
fn cache(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let get = |key: &str| variable(key).filter(|value| !value.is_empty());
    let set = |key: &str| get(key).map(|value| expand(value, &variable));
    let standard = || get("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(std::env::home_dir()?.join(".cache")));
    let home = || set("HF_HOME").or_else(|| Some(expand(standard()?.join("huggingface").into(), &variable)));
    set("HF_HUB_CACHE").or_else(|| set("HUGGINGFACE_HUB_CACHE")).or_else(|| Some(home()?.join("hub")))
}

/// `~` at the start is the home folder, `$NAME` and `${NAME}` are variables where there are such: files for docker and
/// systemd have them, and no shell that replaces them.
fn expand(value: OsString, variable: &impl Fn(&str) -> Option<OsString>) -> PathBuf {
    let Some(text) = value.to_str() else { return value.into() };
    let home = || variable("HOME").or_else(|| std::env::home_dir().map(OsString::from));
    let (mut out, mut rest) = match (text.strip_prefix('~'), home()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => (home, rest),
        _ => (OsString::new(), text),
    };
    while let Some((before, after)) = rest.split_once('$') {
        out.push(before);
        let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, behind) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => after.split_at(after.find(|c| !is_letter(c)).unwrap_or(after.len())),
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => out.push(value),
            None => out.push(&text[text.len() - after.len() - 1..text.len() - behind.len()]),
        }
        rest = behind;
    }
    out.push(rest);
    out.into()
}

/// The path as a person wrote it, `~` the home folder.
pub(crate) fn at_home(text: &str) -> PathBuf {
    match text.starts_with('~') {
        true => expand(text.into(), &|key: &str| std::env::var_os(key).filter(|_| key == "HOME")),
        false => text.into(),
    }
}

/// The folder of the revision that `refs/main` names.
pub fn snapshot(folder: &Path) -> Option<PathBuf> {
    snapshot_of(folder, "main")
}

fn snapshot_of(folder: &Path, branch: &str) -> Option<PathBuf> {
    let revision = std::fs::read_to_string(folder.join("refs").join(branch)).ok()?;
    let revision = revision.trim();
    is_revision(revision).then(|| folder.join("snapshots").join(revision))
}

/// The hash of a commit.
pub fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Has it a config.json and all its weights, or an adapter's? A download that was broken off has not.
pub fn is_whole(dir: &Path) -> bool {
    let shards = || -> Option<bool> {
        let index = std::fs::read(dir.join("model.safetensors.index.json")).ok()?;
        Some(shards(&index)?.iter().all(|name| dir.join(name).exists()))
    };
    let has = |name: &str| dir.join(name).exists();
    has("config.json") && (has("model.safetensors") || shards().unwrap_or(false))
        || ["adapter_config.json", "adapter_model.safetensors"].into_iter().all(has)
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
        assert!(is_name("gpt2") && is_name("gpt2-medium"));
        for path in [
            "models--gpt2",
            "a/b--c",
            "a..b",
            ".",
            "..",
            "/a/b",
            "./a",
            "../a",
            "a/..",
            "a/b/c",
            "a/",
            "/a",
            "a\\b/c",
            "~/x",
            "a b/c",
            "",
            "é/b",
        ] {
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
        assert_eq!(with(&[("HUGGINGFACE_HUB_CACHE", "/l"), ("HF_HOME", "/h")]), Path::new("/l"));
        assert_eq!(with(&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/l")]), Path::new("/c"));
        let home = ("HOME", "/me");
        for (value, hub) in [
            ("~/hf", "/me/hf/hub"),
            ("~", "/me/hub"),
            ("$HOME/hf", "/me/hf/hub"),
            ("${HOME}hf", "/mehf/hub"),
            ("/a/$X/$Y$/~", "/a/x/$Y$/~/hub"),
            ("~you/${Y}${", "~you/${Y}${/hub"),
            ("$HOME_", "$HOME_/hub"),
        ] {
            assert_eq!(with(&[("HF_HOME", value), home, ("X", "x")]), Path::new(hub), "{value}");
        }
        assert_eq!(with(&[("HF_HUB_CACHE", "~/c"), home]), Path::new("/me/c"));
        assert_eq!(with(&[("HUGGINGFACE_HUB_CACHE", "$HOME/c"), home]), Path::new("/me/c"));
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
