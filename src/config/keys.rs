//! The keys of a section. Names, defaults and ranges are those of the flags of a clap struct, and values from files go
//! through the same parsers, so that a key is written once.

use super::nearest;
use crate::error::{Failure, Result};
use clap::{Arg, Args, Command};
use serde::Serialize;
use std::error::Error;
use std::path::PathBuf;
use toml::{Table, Value};

/// A section of a recipe by its name, whatever its type.
#[derive(Clone, Copy)]
pub struct Section {
    pub name: &'static str,
    pub args: fn(Command) -> Command,
    complete: fn(&str, &Table, &[&str]) -> Result<Table>,
}

impl Section {
    pub const fn of<A: Args + Serialize>(name: &'static str) -> Section {
        Section { name, args: A::augment_args, complete: complete::<A> }
    }

    /// All keys as they are saved: defaults for what is not given; those that differ by size still do.
    pub fn complete(&self, place: &str, given: &Table, sizes: &[&str]) -> Result<Table> {
        (self.complete)(place, given, sizes)
    }

    pub fn command(&self) -> Command {
        (self.args)(Command::new("section"))
    }
}

/// Today's spelling of a key: `grad_clip` is `max_grad_norm`.
fn today(command: &Command, key: &str) -> Option<String> {
    let flag = key.replace('_', "-");
    let is = |arg: &&Arg| arg.get_all_aliases().unwrap_or_default().contains(&flag.as_str());
    Some(command.get_arguments().find(is)?.get_id().to_string())
}

/// Puts today's spellings in place of the old ones, or says what is there by both.
pub fn rename(command: &Command, table: &mut Table) -> std::result::Result<(), String> {
    let old: Vec<(String, String)> = table.keys().filter_map(|key| Some((key.clone(), today(command, key)?))).collect();
    for (old, new) in old {
        let value = table.remove(&old).expect("it was found there");
        if table.insert(new.clone(), value).is_some() {
            return Err(format!("`{old}` is another spelling of `{new}`, and both are given"));
        }
    }
    Ok(())
}

/// The first key of a table that is no flag of the command, and what to say of it.
pub fn stranger(command: &Command, table: &Table) -> Option<(String, String)> {
    let names = || command.get_arguments().map(|arg| arg.get_id().as_str());
    let key = table.keys().find(|key| names().all(|name| name != *key))?;
    Some((key.clone(), unknown(key, names())))
}

/// What to say of a key that is not known.
pub fn unknown<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(key, names.iter().copied()) {
        Some(near) => format!("unknown key `{key}`; did you mean `{near}`?"),
        None => format!("unknown key `{key}`; there are {}", names.join(", ")),
    }
}

/// Does a flag name files?
pub fn is_path(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == std::any::TypeId::of::<PathBuf>()
}

/// The section's values from its table; what is not given has its default, and what is no key of it is left alone.
/// `place` stands before the key in messages: "sft.".
pub fn read<A: Args + Serialize>(place: &str, given: &Table) -> Result<A> {
    let command = A::augment_args(Command::new("section").no_binary_name(true));
    let wrong = |key: &str, value: &Value, why: &str| {
        let text = text(value).unwrap_or_else(|| value.to_string());
        Failure::usage(format!("{place}{key} = {text}: {why}"))
    };
    let mut flags = Vec::new();
    for arg in command.get_arguments() {
        let (key, flag) = (arg.get_id().as_str(), arg.get_long().unwrap_or_default());
        let Some(value) = given.get(key) else { continue };
        let text = text(value).ok_or_else(|| wrong(key, value, "it is one value"))?;
        let flag = format!("--{flag}={text}");
        if let Err(e) = command.clone().try_get_matches_from([&flag]) {
            return Err(wrong(
                key,
                value,
                &e.source().map_or_else(|| "it is another kind of value".into(), |e| e.to_string()),
            ));
        }
        flags.push(flag);
    }
    let matches = command.try_get_matches_from(flags).expect("each was parsed alone");
    let section = A::from_arg_matches(&matches).expect("every key has a default or is optional");
    let values = Table::try_from(&section).expect("a section is plain values");
    for (key, value) in &values {
        let is = given.get(key).unwrap_or(value);
        let words = |value: &Value| value.is_str();
        if words(is) != words(value) || is.is_bool() != value.is_bool() {
            return Err(wrong(key, is, &format!("it is a {}, such as {value}", kind(value))));
        }
    }
    Ok(section)
}

fn kind(value: &Value) -> &str {
    match value {
        Value::String(_) => "text",
        Value::Boolean(_) => "truth value",
        _ => "number",
    }
}

/// A value as a flag has it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// The values for one size of a table in which `key = { S = 1e-3, L = 3e-4 }` differs by size.
pub fn of_size(place: &str, given: &Table, size: &str) -> Result<Table> {
    let resolve = |(key, value): (&String, &Value)| match value {
        Value::Table(by_size) => match by_size.get(size) {
            Some(value) => Ok((key.clone(), value.clone())),
            None if size.is_empty() => {
                Err(Failure::usage(format!("{place}{key} differs by size; a single stage wants one value")))
            }
            None => Err(Failure::usage(format!(
                "{place}{key} has no value for size {size}; write one number, or one for each size"
            ))),
        },
        value => Ok((key.clone(), value.clone())),
    };
    given.iter().map(resolve).collect()
}

fn complete<A: Args + Serialize>(place: &str, given: &Table, sizes: &[&str]) -> Result<Table> {
    let of = |size: &&str| -> Result<Table> {
        let section: A = read(place, &of_size(place, given, size)?)?;
        Ok(Table::try_from(&section).expect("a section is plain values"))
    };
    let all: Vec<Table> = sizes.iter().map(of).collect::<Result<_>>()?;
    let Some(first) = all.first() else { return of(&"") };
    let value = |key: &String| match given.get(key) {
        Some(Value::Table(_)) => {
            Value::Table(sizes.iter().zip(&all).map(|(size, of)| (size.to_string(), of[key].clone())).collect())
        }
        _ => first[key].clone(),
    };
    Ok(first.keys().map(|key| (key.clone(), value(key))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rlhf_core::methods::sft;

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn one_number_or_one_a_size() {
        let given = table("lr = { S = 1e-3, L = 5e-4 }\nepochs = 2");
        let saved = complete::<sft::Config>("sft.", &given, &["S", "L"]).unwrap();
        assert_eq!((&saved["lr"], saved["epochs"].as_float()), (&given["lr"], Some(2.0)));
        assert_eq!(complete::<sft::Config>("sft.", &saved, &["S", "L"]).unwrap(), saved);
        let of = |size| read::<sft::Config>("", &of_size("sft.", &saved, size)?).map(|c| c.optim.lr);
        assert_eq!((of("S").unwrap(), of("L").unwrap()), (1e-3, 5e-4));
        assert!(of("M").unwrap_err().message.starts_with("sft.lr has no value for size M; write one number"));
        assert!(of("").unwrap_err().message.contains("wants one value"));
    }

    #[test]
    fn values_of_another_kind_are_refused() {
        let error = |text: &str| read::<sft::Config>("sft.", &table(text)).unwrap_err().message;
        assert_eq!(error("lr = nan"), "sft.lr = NaN: it is a number above 0");
        assert_eq!(error("lr = 'high'"), "sft.lr = high: it is a number above 0");
        assert_eq!(error("lr = '1e-3'"), "sft.lr = 1e-3: it is a number, such as 0.001");
        assert_eq!(error("lr = [1]"), "sft.lr = [1]: it is one value");
        assert_eq!(error("batch = 1.5"), "sft.batch = 1.5: it is a whole number from 1 to 1048576");
        assert_eq!(error("lora_targets = 3"), "sft.lora_targets = 3: it is a text, such as \"3\"");
        assert_eq!(error("precision = true"), "sft.precision = true: it is another kind of value");
    }

    #[test]
    fn old_spellings_are_read() {
        let command = Section::of::<sft::Config>("sft").command();
        let mut given = table("grad_clip = 2.0\nlr_floor = 0.5\nepochs = 1.0");
        rename(&command, &mut given).unwrap();
        assert_eq!(given, table("epochs = 1.0\nmax_grad_norm = 2.0\nmin_lr_ratio = 0.5"));
        let both = rename(&command, &mut table("grad_clip = 2.0\nmax_grad_norm = 1.0")).unwrap_err();
        assert_eq!(both, "`grad_clip` is another spelling of `max_grad_norm`, and both are given");
        let (key, why) = stranger(&command, &table("epohcs = 3")).unwrap();
        assert_eq!((key.as_str(), why.as_str()), ("epohcs", "unknown key `epohcs`; did you mean `epochs`?"));
    }
}
