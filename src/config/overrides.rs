//! `--set a.b=v` and profiles: changes to a recipe's table before it becomes typed.

use super::{Recipe, Section, known, with_suggestion};
use crate::error::{Failure, Result};
use toml::{Table, Value};

/// Applies one `a.b=v`. `v` is read as TOML (12, 1e-3, true, [1, 2]); what is not TOML is a string.
/// `data=DIR` is short for `data.dir=DIR`.
pub fn set(table: &mut Table, assignment: &str, methods: &[Section]) -> Result {
    let fail = |why: &str| Failure::usage(format!("--set {assignment}: {why}"));
    let Some((path, text)) = assignment.split_once('=') else {
        return Err(fail("expected key=value, such as sft.epochs=3"));
    };
    let path = if path == "data" { "data.dir" } else { path };
    let keys: Vec<&str> = path.split('.').collect();
    let mut there = Some(&*table);
    for key in &keys[..keys.len() - 1] {
        let value = there.and_then(|table| table.get(*key));
        if value.is_some_and(|value| !value.is_table()) {
            return Err(fail(&format!("{key} is a value, not a section; set it whole")));
        }
        there = value.and_then(Value::as_table);
    }
    let nest = |value, key: &&str| Value::Table(Table::from_iter([(key.to_string(), value)]));
    let change = keys.iter().rev().fold(value(text), nest);
    let mut change = change.as_table().cloned().expect("at least one key");
    known(&mut change, methods).map_err(|(_, why)| fail(&why))?;
    merge(table, &change);
    match Table::try_into::<Recipe>(table.clone()) {
        Ok(_) => Ok(()),
        Err(e) => Err(fail(&with_suggestion(e.message()))),
    }
}

/// A value as TOML reads it; text that is not TOML stands for itself.
pub fn value(text: &str) -> Value {
    let parsed = format!("v = {text}").parse::<Table>();
    parsed.ok().and_then(|mut t| t.remove("v")).unwrap_or_else(|| Value::String(text.to_string()))
}

/// Puts every value of `changes` in place of the one in `table`, section by section.
pub fn merge(table: &mut Table, changes: &Table) {
    for (key, change) in changes {
        match (table.get_mut(key), change) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            _ => {
                table.insert(key.clone(), change.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_text() {
        assert_eq!(value("1e-3"), Value::Float(1e-3));
        assert_eq!(value("true"), Value::Boolean(true));
        assert_eq!(value("../data"), Value::String("../data".into()));
        assert_eq!(value("[1, 2]"), Value::Array(vec![Value::Integer(1), Value::Integer(2)]));
    }

    #[test]
    fn data_is_short_for_its_folder() {
        let mut table = Table::new();
        set(&mut table, "data=../shared/data", &[]).unwrap();
        assert_eq!(table["data"]["dir"].as_str(), Some("../shared/data"));
        assert!(set(&mut table, "seed", &[]).unwrap_err().message.contains("expected key=value"));
        assert!(set(&mut table, "seed=often", &[]).unwrap_err().message.starts_with("--set seed=often: "));
        assert!(set(&mut table, "data.dir.x=1", &[]).unwrap_err().message.contains("not a section"));
    }
}
