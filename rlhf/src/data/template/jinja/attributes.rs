//! What stands behind a dot or in brackets: attributes and items.

use std::rc::Rc;

use super::strings;
use super::value::{self, Kind, Loop, Result, Value, spend, text};

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
