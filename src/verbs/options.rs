//! The keys of a stage from four places: defaults < `--config FILE` < `--set key=value` < flags.

use crate::config::keys::{is_path, rename, stranger};
use crate::config::{Section, parse_value, with_suggestion};
use crate::error::{Failure, Result};
use crate::folder::inputs::{Inputs, changed_keys};
use crate::folder::write_whole;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Flags that are no keys.
const NO_KEYS: [&str; 4] = ["config", "set", "resume", "force"];

/// The values of a stage's flags.
pub struct Options {
    /// The stage's flags, which are its keys.
    command: Command,
    /// What is given, but for files that flags name.
    table: Table,
    /// Every value that was used, for `recipe.toml`.
    resolved: Table,
    /// What the run that goes on was made with.
    before: Option<Table>,
    /// Files that flags name, which need not be text.
    named: BTreeMap<String, Vec<PathBuf>>,
    /// The files that were used, by key.
    used: BTreeMap<String, Vec<PathBuf>>,
}

impl Options {
    /// `section`: where the keys stand in a recipe.
    pub fn read(command: Command, section: &str, flags: &ArgMatches) -> Result<Options> {
        let keys = command.get_arguments().filter(|arg| !NO_KEYS.contains(&arg.get_id().as_str())).cloned();
        let command = Command::new("keys").args(keys).arg(Arg::new("seed").long("seed"));
        let config = flags.get_one::<PathBuf>("config");
        let mut table = match config {
            Some(file) => keys_of_file(file, section, &command)?,
            None => Table::new(),
        };
        for set in flags.get_many::<String>("set").into_iter().flatten() {
            let Some((key, text)) = set.split_once('=') else {
                return Err(Failure::usage(format!("--set {set}: expected key=value, such as lr=1e-4")));
            };
            let key = key.strip_prefix(&format!("{section}.")).unwrap_or(key);
            table.extend(known(
                &format!("--set {set}"),
                &command,
                Table::from_iter([(key.into(), parse_value(text))]),
            )?);
        }
        let mut named = BTreeMap::new();
        for arg in command.get_arguments() {
            let id = arg.get_id().as_str();
            if flags.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            if is_path(arg) {
                named.insert(id.into(), flags.get_many::<PathBuf>(id).into_iter().flatten().cloned().collect());
            } else {
                let text = flags.get_raw(id).and_then(|mut texts| texts.next()).expect("a flag has a value");
                table.insert(id.into(), value(arg, &text.to_string_lossy()));
            }
        }
        Ok(Options { command, table, resolved: Table::new(), before: None, named, used: BTreeMap::new() })
    }

    /// What is not given is as `recipe.toml` in the folder of the run says, which goes on.
    pub fn go_on(&mut self, out: &Path, section: &str) -> Result {
        let before = keys_of_file(&out.join("recipe.toml"), section, &self.command)?;
        for (key, value) in before.iter().filter(|(key, _)| *key != "out") {
            self.table.entry(key).or_insert_with(|| value.clone());
        }
        self.before = Some(before);
        Ok(())
    }

    /// The keys that name files: those may be elsewhere when a run goes on, and their contents tell whether they are the
    /// same.
    fn file(&self, key: &str) -> Option<&Arg> {
        self.command.get_arguments().find(|arg| arg.get_id() == key && is_path(arg))
    }

    /// The keys whose values are not those of the run that goes on.
    pub fn changed(&self) -> Vec<String> {
        let Some(before) = &self.before else { return Vec::new() };
        let of = |table: &Table| -> Table {
            let free = |key: &str| key == "save_every" || self.file(key).is_some();
            let kept = table.iter().filter(|(key, _)| !free(key) && before.contains_key(*key));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        changed_keys(&of(&self.resolved), &of(before))
    }

    /// What the files that were used are: of lists, data, of single ones, models.
    pub fn inputs(&self, mut inputs: Inputs) -> Result<Inputs> {
        for (key, files) in self.used.iter().filter(|(key, _)| *key != "out") {
            match self.resolved[key] {
                Value::Array(_) => files.iter().try_for_each(|file| inputs.data(key, file))?,
                _ => files.iter().try_for_each(|file| inputs.model(key, file))?,
            }
        }
        Ok(inputs)
    }

    /// All keys of a section; what is not given has its default.
    pub fn section(&mut self, section: &Section) -> Result<Table> {
        let all = section.complete("", &self.table, &[])?;
        self.resolved.extend(all.clone());
        Ok(all)
    }

    /// A file or folder.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let of_file = || Some(PathBuf::from(self.table.get(key)?.as_str()?));
        let found = self.named.get(key).and_then(|files| files.first().cloned()).or_else(of_file)?;
        self.resolved.insert(key.into(), found.display().to_string().into());
        self.used.insert(key.into(), vec![found.clone()]);
        Some(found)
    }

    /// Files: one, or a list.
    pub fn paths(&mut self, key: &str) -> Vec<PathBuf> {
        let found: Vec<PathBuf> = match (self.named.get(key), self.table.get(key)) {
            (Some(files), _) => files.clone(),
            (_, Some(Value::String(one))) => vec![one.into()],
            (_, Some(Value::Array(many))) => many.iter().filter_map(|v| v.as_str()).map(PathBuf::from).collect(),
            _ => Vec::new(),
        };
        let names: Vec<Value> = found.iter().map(|f| f.display().to_string().into()).collect();
        self.resolved.insert(key.into(), names.into());
        self.used.insert(key.into(), found.clone());
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

/// A flag's value: words as they stand, numbers as TOML reads them.
fn value(arg: &Arg, text: &str) -> Value {
    let default = arg.get_default_values().first().and_then(|text| text.to_str()).map(parse_value);
    if default.is_some_and(|default| default.is_str()) { text.into() } else { parse_value(text) }
}

/// Flat keys, or the stage's section when the file is a recipe.
fn keys_of_file(file: &Path, section: &str, command: &Command) -> Result<Table> {
    let text =
        rlhf_core::data::read_text(file).map_err(|e| Failure::usage(format!("cannot read {}: {e}", file.display())))?;
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        Failure::usage(format!("{}: {}", file.display(), with_suggestion(e.message())))
    })?;
    let table = match table.remove(section) {
        Some(Value::Table(section)) => section,
        _ => table,
    };
    known(&file.display().to_string(), command, table)
}

/// Old spellings become today's; a key that is none is refused.
fn known(place: &str, command: &Command, mut table: Table) -> Result<Table> {
    let wrong = |why: String| Failure::usage(format!("{place}: {why}"));
    rename(command, &mut table).map_err(wrong)?;
    stranger(command, &table).map_or(Ok(table), |(_, why)| Err(wrong(why)))
}
