//! The keys of a stage from four places: defaults < `--config FILE` < `--set key=value` < flags.

use crate::config::{nearest, parse_value, with_suggestion};
use crate::error::{Failure, Result};
use crate::folder::inputs::{Inputs, changed_keys};
use crate::folder::write_whole;
use crate::range;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Keys that are no section's own.
const SHARED: [&str; 8] = ["model", "tokenizer", "data", "out", "reward", "text", "demonstrations", "seed"];
/// Keys that may be others when a run goes on: where it is, and when it saves. What files are, their contents tell.
const FREE: [&str; 8] = ["model", "tokenizer", "data", "out", "reward", "text", "demonstrations", "save_every"];

pub struct Options {
    table: Table,
    /// Every value that was used, for `recipe.toml`.
    resolved: Table,
    /// What the run that goes on was made with.
    before: Option<Table>,
}

/// The keys of a section: the names of its flags.
pub fn keys<S: Args>() -> Vec<String> {
    let command = S::augment_args(Command::new("keys"));
    command.get_arguments().map(|a| a.get_id().to_string()).collect()
}

impl Options {
    pub fn read(
        stage: &str,
        config: Option<&Path>,
        sets: &[String],
        flags: &ArgMatches,
        known: &[&str],
    ) -> Result<Options> {
        let mut table = match config {
            Some(file) => from_file(file, stage)?,
            None => Table::new(),
        };
        for set in sets {
            let Some((key, text)) = set.split_once('=') else {
                return Err(Failure::usage(format!("--set {set}: expected key=value, such as lr=1e-4")));
            };
            let key = key.strip_prefix(&format!("{stage}.")).unwrap_or(key);
            check_key(key, known, &format!("--set {set}"))?;
            table.insert(key.to_string(), parse_value(text));
        }
        let place = config.map_or("--config".into(), |f| f.display().to_string());
        for key in table.keys() {
            check_key(key, known, &place)?;
        }
        for id in known.iter().filter(|id| flags.value_source(id) == Some(ValueSource::CommandLine)) {
            let raw = flags.get_raw(id).and_then(|mut values| values.next());
            let text = raw.and_then(|v| v.to_str()).unwrap_or("true");
            table.insert(id.to_string(), parse_value(text));
        }
        Ok(Options { table, resolved: Table::new(), before: None })
    }

    /// What is not given is as `recipe.toml` in the folder of the run says, which goes on.
    pub fn go_on(&mut self, out: &Path, stage: &str) -> Result {
        let before = from_file(&out.join("recipe.toml"), stage)?;
        for (key, value) in before.iter().filter(|(key, _)| *key != "out") {
            self.table.entry(key).or_insert_with(|| value.clone());
        }
        self.before = Some(before);
        Ok(())
    }

    /// The keys whose values are not those of the run that goes on.
    pub fn changed(&self) -> Vec<String> {
        let Some(before) = &self.before else { return Vec::new() };
        let of = |table: &Table| -> Table {
            let kept = table.iter().filter(|(key, _)| !FREE.contains(&key.as_str()) && before.contains_key(*key));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        changed_keys(&of(&self.resolved), &of(before))
    }

    /// The files that were used, by key.
    pub fn inputs(&self, mut inputs: Inputs) -> Result<Inputs> {
        for (key, value) in &self.resolved {
            let paths =
                || value.as_array().into_iter().flatten().chain([value]).filter_map(Value::as_str).map(Path::new);
            match key.as_str() {
                "data" | "text" | "demonstrations" => paths().try_for_each(|path| inputs.data(key, path))?,
                "model" | "reward" | "tokenizer" => paths().try_for_each(|path| inputs.model(key, path))?,
                _ => {}
            }
        }
        Ok(inputs)
    }

    /// The section's values; what is not given has its default.
    pub fn section<S: Args + Serialize + DeserializeOwned>(&mut self) -> Result<S> {
        let own = keys::<S>();
        let given: Table =
            self.table.iter().filter(|(k, _)| own.contains(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let section: S =
            given.try_into().map_err(|e: toml::de::Error| Failure::usage(with_suggestion(&e.to_string())))?;
        range::check("", &section)?;
        self.resolved.extend(Table::try_from(&section).expect("a section is plain values"));
        Ok(section)
    }

    /// A folder from its flag, or from the file.
    pub fn path(&mut self, key: &str, flag: Option<&PathBuf>) -> Option<PathBuf> {
        let found = flag.cloned().or_else(|| self.table.get(key)?.as_str().map(PathBuf::from))?;
        self.resolved.insert(key.into(), found.display().to_string().into());
        Some(found)
    }

    /// Files from their flag, or from the file: one, or a list.
    pub fn paths(&mut self, key: &str, flags: &[PathBuf]) -> Vec<PathBuf> {
        let found: Vec<PathBuf> = match self.table.get(key) {
            _ if !flags.is_empty() => flags.to_vec(),
            Some(Value::String(one)) => vec![one.into()],
            Some(Value::Array(many)) => many.iter().filter_map(|v| v.as_str()).map(PathBuf::from).collect(),
            _ => Vec::new(),
        };
        let names: Vec<Value> = found.iter().map(|f| f.display().to_string().into()).collect();
        self.resolved.insert(key.into(), names.into());
        found
    }

    /// The seed of the flag, or of the file; 1 where neither says.
    pub fn seed(&mut self, flag: Option<u64>) -> Result<u64> {
        let given = self.table.get("seed");
        let of_file = given.map(|seed| seed.as_integer().and_then(|seed| u64::try_from(seed).ok()));
        let wrong = || {
            let seed = given.map_or_else(String::new, Value::to_string);
            Failure::usage(format!("seed = {seed}: it is a whole number from 0 to {}", i64::MAX))
        };
        let seed = flag.map_or_else(|| of_file.unwrap_or(Some(1)).ok_or_else(wrong), Ok)?;
        self.resolved.insert("seed".into(), (seed as i64).into());
        Ok(seed)
    }

    /// `recipe.toml` of the stage: feed it back with `--config`.
    pub fn save(&self, out: &Path) -> Result {
        let mut said = self.resolved.clone();
        said.remove("out"); // it is there
        write_whole(&out.join("recipe.toml"), &toml::to_string_pretty(&said).expect("plain values"))
    }
}

/// Flat keys, or the stage's section when the file is a recipe.
fn from_file(file: &Path, stage: &str) -> Result<Table> {
    let text =
        rlhf_core::data::read_text(file).map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        Failure::usage(format!("{}: {}", file.display(), with_suggestion(e.message())))
    })?;
    match table.remove(stage) {
        Some(Value::Table(section)) => Ok(section),
        _ => Ok(table),
    }
}

fn check_key(key: &str, known: &[&str], place: &str) -> Result {
    let all = || known.iter().copied().chain(SHARED);
    if all().any(|k| k == key) {
        return Ok(());
    }
    let hint =
        nearest(key, all()).map_or(format!("there are {}", known.join(", ")), |n| format!("did you mean `{n}`?"));
    Err(Failure::usage(format!("{place}: unknown key `{key}`; {hint}")))
}
