//! Attributes, items, slices, and the methods that Python's strings, lists and dicts have.

use std::rc::Rc;

use super::call::Given;
use super::math::equal;
use super::strings;
use super::value::{self, Kind, Loop, Result, Value, make, spend, text};

const DICT: [&str; 5] = ["get", "items", "keys", "values", "copy"];
const LIST: [&str; 3] = ["count", "index", "copy"];
/// Those of dicts that change them: there they are, but not to be called.
const CHANGING: [&str; 6] = ["clear", "pop", "popitem", "setdefault", "update", "fromkeys"];

#[inline(never)]
pub fn attribute(of: &Value, name: &str) -> Result<Value> {
    if name.starts_with("__") && !matches!(of, Value::Dict(_) | Value::Undefined(_)) {
        return Ok(Value::undefined(&format!("access to attribute '{name}' is unsafe: it")));
    }
    let method = || Value::Method(Rc::new(of.clone()), name.into());
    let has = match of.defined()? {
        Value::Str(_) => strings::METHODS.contains(&name),
        Value::Dict(_) if CHANGING.contains(&name) => return Ok(missing(of, name)),
        Value::Dict(_) => DICT.contains(&name),
        Value::Seq(Kind::List, _) => LIST.contains(&name),
        Value::Seq(Kind::Tuple | Kind::Range(..), _) => ["count", "index"].contains(&name),
        Value::Float(_) => name == "is_integer",
        Value::Loop(_) if ["changed", "cycle"].contains(&name) => true,
        Value::Loop(state) => return Ok(loop_attribute(state, name).unwrap_or_else(|| missing(of, name))),
        Value::Namespace(vars) => {
            let found = vars.borrow().iter().find(|(there, _)| **there == *name).map(|(_, value)| value.clone());
            return Ok(found.unwrap_or_else(|| missing(of, name)));
        }
        Value::Macro(closure) => match name {
            "name" => return text(&closure.code.name),
            "arguments" => {
                return value::seq(Kind::Tuple, closure.code.params.iter().map(text).collect::<Result<_>>()?);
            }
            _ => false,
        },
        _ => false,
    };
    if has {
        return Ok(method());
    }
    Ok(of.get(&Value::Str(name.into())).unwrap_or_else(|| missing(of, name)))
}

fn missing(of: &Value, name: &str) -> Value {
    Value::undefined(&format!("'{} object' has no attribute '{name}': it", of.kind()))
}

fn loop_attribute(state: &Loop, name: &str) -> Option<Value> {
    let (at, length) = (state.at.get(), state.items.len());
    let number = |n: usize| Some(Value::Int(n as i128));
    match name {
        "index" => number(at + 1),
        "index0" => number(at),
        "revindex" => number(length - at),
        "revindex0" => number(length - at - 1),
        "first" => Some(Value::Bool(at == 0)),
        "last" => Some(Value::Bool(at + 1 == length)),
        "length" => number(length),
        "depth" => number(state.depth + 1),
        "depth0" => number(state.depth),
        "previtem" => {
            Some(if at > 0 { state.items[at - 1].clone() } else { Value::undefined("there is no previous item: it") })
        }
        "nextitem" => {
            Some(state.items.get(at + 1).cloned().unwrap_or_else(|| Value::undefined("there is no next item: it")))
        }
        _ => None,
    }
}

#[inline(never)]
pub fn item(of: &Value, key: &Value) -> Result<Value> {
    let found = match (of.defined()?, key.as_int()) {
        (Value::Seq(kind, seq), Some(at)) if !matches!(kind, Kind::View(_)) => {
            index(at, seq.items.len()).map(|at| seq.items[at].clone())
        }
        (Value::Str(whole), Some(at)) => {
            spend(whole.len() / 64)?;
            let at = index(at, if whole.is_ascii() { whole.len() } else { whole.chars().count() });
            at.and_then(|at| whole.chars().nth(at)).map(|c| Value::Str(c.encode_utf8(&mut [0; 4]).into()))
        }
        (Value::Dict(_), _) => of.get(key),
        _ => None,
    };
    match (found, key) {
        (Some(found), _) => Ok(found),
        (None, Value::Str(name)) => attribute(of, name),
        (None, key) => Ok(Value::undefined(&format!("'{} object' has no element {}: it", of.kind(), key.repr()?))),
    }
}

fn index(at: i128, length: usize) -> Option<usize> {
    let at = if at < 0 { at + length as i128 } else { at };
    usize::try_from(at).ok().filter(|&at| at < length)
}

#[inline(never)]
pub fn slice(of: &Value, parts: [Option<Value>; 3]) -> Result<Value> {
    let whole = |part: &Option<Value>| match part {
        None | Some(Value::None) => Ok(None),
        Some(value) => match value.defined()?.as_int() {
            Some(value) => Ok(Some(value.clamp(-(1 << 62), 1 << 62))),
            None => Err("slice indices must be integers or None".to_string()),
        },
    };
    let (start, stop, step) = (whole(&parts[0])?, whole(&parts[1])?, whole(&parts[2])?.unwrap_or(1));
    if step == 0 {
        return Err("slice step cannot be zero".into());
    }
    let (items, kind) = match of.defined()? {
        Value::Seq(kind @ (Kind::List | Kind::Tuple | Kind::Range(..)), seq) => (seq.items.clone(), Some(*kind)),
        Value::Str(_) => (of.items()?, None),
        _ => return Ok(Value::undefined(&format!("a slice of a {}: it", of.kind()))),
    };
    make(items.len() * size_of::<Value>())?;
    let length = items.len() as i128;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |at: Option<i128>, otherwise: i128| match at {
        None => otherwise,
        Some(at) => (if at < 0 { at + length } else { at }).clamp(low, high),
    };
    let (mut at, stop) = match step > 0 {
        true => (bound(start, 0), bound(stop, length)),
        false => (bound(start, length - 1), bound(stop, -1)),
    };
    let mut taken = vec![];
    while if step > 0 { at < stop } else { at > stop } {
        taken.push(items[at as usize].clone());
        at += step;
    }
    match kind {
        Some(Kind::Range(end, by)) => {
            let first = items.first().and_then(Value::as_int).unwrap_or(end);
            let at = |at: i128| first.saturating_add(at.saturating_mul(by));
            let stop = if stop == length { end } else { at(stop) };
            value::seq(Kind::Range(stop, by.saturating_mul(step)), taken)
        }
        Some(kind) => value::seq(kind, taken),
        None => text(taken.iter().filter_map(Value::as_str).collect::<String>()),
    }
}

#[inline(never)]
pub fn call(of: &Value, name: &str, given: Given) -> Result<Value> {
    match of {
        Value::Str(text) => strings::call(text, name, given),
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

/// Keys and values as tuples.
pub fn pairs(of: &Value) -> Result<Vec<Value>> {
    let Value::Dict(dict) = of else { return Err("Can only get item pairs from a mapping.".into()) };
    dict.items.iter().map(|(key, item)| value::seq(Kind::Tuple, vec![key.clone(), item.clone()])).collect()
}
