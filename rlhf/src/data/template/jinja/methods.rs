//! Calls of the methods that Python's strings, lists and dicts have.

use std::rc::Rc;

use super::call::Given;
use super::format::format;
use super::strings;
use super::value::{self, Kind, Result, Value, equal, spend};

#[inline(never)]
pub fn call(of: &Value, name: &str, given: Given) -> Result<Value> {
    match of {
        Value::Str(whole) => of_string(whole, name, given),
        Value::Dict(dict) => {
            let view = |kind, items| value::seq(Kind::View(kind), items);
            match name {
                "get" => {
                    let [key, default] = given.take("get", ["key", "default"])?;
                    Ok(of.get(&key.ok_or("get takes a key")?).or(default).unwrap_or(Value::None))
                }
                "keys" => view("dict_keys", dict.items.iter().map(|(key, _)| key.clone()).collect()),
                "values" => view("dict_values", dict.items.iter().map(|(_, value)| value.clone()).collect()),
                "items" => view("dict_items", pairs(of)?),
                _ => Ok(of.clone()),
            }
        }
        Value::Seq(_, seq) => {
            if name == "copy" {
                return Ok(of.clone());
            }
            let wanted = given.one(name)?;
            let mut count = 0;
            for (at, item) in seq.items.iter().enumerate() {
                if equal(item, &wanted)? {
                    if name == "index" {
                        return Ok(Value::Int(at as i128));
                    }
                    count += 1;
                }
            }
            if name == "index" { Err(format!("{} is not in list", wanted.repr()?)) } else { Ok(Value::Int(count)) }
        }
        Value::Float(value) => Ok(Value::Bool(value.fract() == 0.0)),
        Value::Loop(state) => match name {
            "cycle" if given.positional.is_empty() => Err("no items for cycling given".into()),
            "cycle" => Ok(given.positional[state.at.get() % given.positional.len()].clone()),
            _ => {
                let last = state.changed.replace(Some(given.positional.clone()));
                let same = |last: Vec<Value>| -> Result<bool> {
                    Ok(last.len() == given.positional.len()
                        && last
                            .iter()
                            .zip(&given.positional)
                            .try_fold(true, |all, (a, b)| Ok::<_, String>(all && equal(a, b)?))?)
                };
                Ok(Value::Bool(!last.map_or(Ok(false), same)?))
            }
        },
        other => Err(format!("'{}' object has no method {name:?}", other.kind())),
    }
}

#[inline(never)]
fn of_string(whole: &Rc<str>, name: &str, given: Given) -> Result<Value> {
    spend(whole.len() / 16)?;
    match name {
        "format" => format(whole, &given),
        "format_map" => {
            let Value::Dict(dict) = given.one(name)? else { return Err("format_map takes a dict".into()) };
            let named = dict.items.iter().filter_map(|(key, value)| Some((key.as_str()?.into(), value.clone())));
            format(whole, &Given { positional: vec![], named: named.collect() })
        }
        _ => strings::call(whole, name, given),
    }
}

/// Keys and values as tuples.
pub fn pairs(of: &Value) -> Result<Vec<Value>> {
    let Value::Dict(dict) = of else { return Err("Can only get item pairs from a mapping.".into()) };
    dict.items.iter().map(|(key, item)| value::seq(Kind::Tuple, vec![key.clone(), item.clone()])).collect()
}
