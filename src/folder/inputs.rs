//! What a run stands on besides its keys: data, models, device. Written beside `recipe.toml` when it starts, compared
//! when it is resumed, so that a folder never says of its training what is not so.

use super::write_whole;
use crate::error::{Failure, Result};
use crate::hub;
use kernels::Device;
use kernels::cpu::simd;
use model::lora;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

const FILE: &str = "inputs.json";
/// Of a larger file of weights, pieces are read: another model differs in all of them.
const WHOLE: u64 = 256 << 20;
const PIECE: u64 = 1 << 20;
const PIECES: u64 = 64;

/// By key of the recipe, in order.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inputs(BTreeMap<String, Vec<Input>>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Input {
    name: String,
    /// Two inputs are the same when this is.
    is: String,
}

impl Inputs {
    /// Of this machine: what decides how numbers are rounded.
    pub fn on(device: &Device) -> Inputs {
        let mut inputs = Inputs::default();
        inputs.say("device", &device.name());
        if *device == Device::Cpu {
            inputs.say("SIMD level", simd::isa().name());
        }
        inputs
    }

    pub fn say(&mut self, key: &str, what: &str) {
        self.0.entry(key.into()).or_default().push(Input { name: what.into(), is: what.into() });
    }

    /// Data: a file, a folder of them, each with a weight behind `=` or none.
    pub fn data(&mut self, key: &str, path: &Path) -> Result {
        let text = path.to_string_lossy();
        let (path, weight) = match text.rsplit_once('=').filter(|_| !path.exists()) {
            Some((file, weight)) => (PathBuf::from(file), format!("={weight}")),
            None => (path.to_path_buf(), String::new()),
        };
        let mut files = if path.is_dir() { files_in(&path, 2) } else { vec![path.clone()] };
        files.sort();
        for file in files {
            let is =
                of_file(&file, u64::MAX).map_err(|e| Failure::data(format!("cannot read {}: {e}", file.display())))?;
            let name = format!("{}{weight}", file.display());
            self.0.entry(key.into()).or_default().push(Input { name, is: is + &weight });
        }
        Ok(())
    }

    /// A model with its tokenizer and template, and the model that it stands on if it is an adapter.
    pub fn model(&mut self, key: &str, path: &Path) -> Result {
        let found = hub::find(path)?;
        let is = of_model(&found, 4).map_err(|e| Failure::model(format!("cannot read {}: {e}", found.display())))?;
        self.0.entry(key.into()).or_default().push(Input { name: path.display().to_string(), is });
        Ok(())
    }

    pub fn save(&self, dir: &Path) -> Result {
        write_whole(&dir.join(FILE), &(serde_json::to_string_pretty(self).expect("plain text") + "\n"))
    }

    /// What a run in `dir` was started with; None before there was this file.
    pub fn read(dir: &Path) -> Result<Option<Inputs>> {
        let path = dir.join(FILE);
        let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
        let read = serde_json::from_str(&text);
        read.map(Some).map_err(|e| Failure::usage(format!("{}: {e}; it is not as rlhf wrote it", path.display())))
    }

    /// What was said of a key, where that is one thing.
    pub fn said(&self, key: &str) -> Option<&str> {
        Some(self.0.get(key)?.first()?.name.as_str())
    }

    /// Each thing that is not as it was.
    pub fn differences(&self, before: &Inputs) -> Vec<String> {
        let names = |inputs: Option<&Vec<Input>>| {
            let names: Vec<&str> = inputs.into_iter().flatten().map(|i| i.name.as_str()).collect();
            if names.is_empty() { "nothing".to_string() } else { names.join(", ") }
        };
        let same = |a: Option<&Vec<Input>>, b: Option<&Vec<Input>>| {
            a.into_iter().flatten().map(|i| &i.is).eq(b.into_iter().flatten().map(|i| &i.is))
        };
        let keys: std::collections::BTreeSet<&String> = self.0.keys().chain(before.0.keys()).collect();
        let differ = keys.into_iter().filter(|key| !same(self.0.get(*key), before.0.get(*key)));
        let say = |key: &String| match (names(self.0.get(key)), names(before.0.get(key))) {
            (now, then) if now == then => format!("{key}: {now} has changed"),
            (now, then) => format!("{key}: {now}, it was {then}"),
        };
        differ.map(say).collect()
    }
}

/// Each key of a recipe that has another value, as `section.key = new (it was old)`.
pub fn changed_keys(new: &Table, old: &Table) -> Vec<String> {
    let (new, old) = (flat("", new), flat("", old));
    let keys: std::collections::BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let none = || "not set".to_string();
    let pairs = keys.into_iter().map(|key| (key, new.get(key), old.get(key))).filter(|(_, a, b)| a != b);
    pairs
        .map(|(key, a, b)| {
            format!(
                "{key} = {} (it was {})",
                a.map_or_else(none, Value::to_string),
                b.map_or_else(none, Value::to_string)
            )
        })
        .collect()
}

fn flat(prefix: &str, table: &Table) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => all.extend(flat(&format!("{prefix}{key}."), inner)),
            value => drop(all.insert(format!("{prefix}{key}"), value.clone())),
        }
    }
    all
}

/// Refuses to go on with other things, or with `force` gives what is to be told.
pub fn must_agree(dir: &Path, differences: Vec<String>, force: bool) -> Result<Option<String>> {
    let what = differences.join("; ");
    match (differences.is_empty(), force) {
        (true, _) => Ok(None),
        (false, true) => Ok(Some(format!("going on in {} with other things: {what}", dir.display()))),
        (false, false) => Err(Failure::usage(format!(
            "{} was not made with these: {what}. Give what it was made with (--resume --out alone does), or go on all the same with --force",
            dir.display()
        ))),
    }
}

fn files_in(dir: &Path, depth: usize) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let (dirs, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let inner = dirs.iter().filter(|_| depth > 1).flat_map(|dir| files_in(dir, depth - 1));
    files.into_iter().filter(|file| file.is_file()).chain(inner).collect()
}

fn of_model(path: &Path, depth: usize) -> io::Result<String> {
    if !path.is_dir() {
        return of_file(path, WHOLE);
    }
    let matters = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let kinds = ["json", "safetensors", "bin", "model", "jinja", "txt", "gguf"];
        let ours = ["DONE.json", "environment.json", FILE, "trainer_state.json", "results.json"];
        kinds.iter().any(|kind| name.ends_with(&format!(".{kind}"))) && !ours.contains(&name.as_str())
    };
    let mut files: Vec<PathBuf> = files_in(path, 1).into_iter().filter(matters).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.file_name().unwrap_or_default().to_string_lossy().as_bytes());
        hash.update(of_file(&file, WHOLE)?);
    }
    let base = if depth > 0 && lora::is_adapter(path) { lora::base_of(path).ok() } else { None };
    if let Some(base) = base {
        hash.update(of_model(&base, depth - 1)?);
    }
    Ok(hex(hash))
}

/// SHA-256 of a file; of one that is longer than `whole`, of its length and of pieces all over it.
fn of_file(path: &Path, whole: u64) -> io::Result<String> {
    let mut file = rlhf_core::data::open_file(path)?;
    let length = file.metadata()?.len();
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; PIECE as usize]);
    if length <= whole {
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(hex(hash)),
                n => hash.update(&buffer[..n]),
            }
        }
    }
    hash.update(length.to_le_bytes());
    for i in 0..PIECES {
        file.seek(SeekFrom::Start((length - PIECE) * i / (PIECES - 1)))?;
        file.read_exact(&mut buffer)?;
        hash.update(&buffer);
    }
    Ok(hex(hash))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let (one, two) = (file("one.jsonl", "a"), file("two.jsonl", "b"));
        let of = |path: &Path| {
            let mut inputs = Inputs::on(&Device::Cpu);
            inputs.data("data", path).unwrap();
            inputs
        };
        let start = of(&one);
        start.save(dir.path()).unwrap();
        let start = Inputs::read(dir.path()).unwrap().unwrap();
        assert!(of(&one).differences(&start).is_empty());
        let other = of(&two).differences(&start);
        assert!(
            other.len() == 1 && other[0].starts_with("data: ") && other[0].contains("two.jsonl, it was"),
            "{other:?}"
        );
        fs::copy(&one, &two).unwrap();
        assert!(of(&two).differences(&start).is_empty(), "the same rows elsewhere are the same data");
        assert_eq!(
            of(&PathBuf::from(format!("{}=2", one.display()))).differences(&start).len(),
            1,
            "twice is not once"
        );
        file("one.jsonl", "c");
        assert!(of(&one).differences(&start)[0].ends_with("one.jsonl has changed"));
        assert!(Inputs::default().differences(&start).iter().any(|d| d.starts_with("device: nothing, it was cpu")));
    }

    #[test]
    fn a_model_is_all_that_is_read_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        fs::create_dir(&model).unwrap();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            fs::write(model.join(name), name).unwrap();
        }
        let of = || of_model(&model, 4).unwrap();
        let start = of();
        fs::write(model.join("metrics.jsonl"), "log").unwrap();
        fs::write(model.join("DONE.json"), "{}").unwrap();
        assert_eq!(of(), start);
        fs::write(model.join("chat_template.jinja"), "x").unwrap();
        assert_ne!(of(), start);
    }

    #[test]
    fn a_long_file_is_known_by_its_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let mut bytes: Vec<u8> = (0..5 * PIECE as usize).map(|i| (i / 1000) as u8).collect();
        fs::write(&path, &bytes).unwrap();
        let start = of_file(&path, PIECE).unwrap();
        assert_eq!(of_file(&path, PIECE).unwrap(), start);
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_ne!(of_file(&path, PIECE).unwrap(), start);
    }

    #[test]
    fn keys_are_named_with_their_section() {
        let table = |text: &str| text.parse::<Table>().unwrap();
        let (old, new) =
            (table("seed = 1\n[sft]\nlr = 1e-3\nbatch = 4"), table("seed = 1\n[sft]\nlr = 2e-3\nepochs = 3.0"));
        let changed = changed_keys(&new, &old);
        assert_eq!(
            changed,
            ["sft.batch = not set (it was 4)", "sft.epochs = 3.0 (it was not set)", "sft.lr = 0.002 (it was 0.001)"]
        );
    }
}
