//! Arguments, and the functions that every template has.

use std::cell::RefCell;
use std::rc::Rc;

use super::value::{self, Kind, Result, Value};

/// The arguments of a call.
#[derive(Default)]
pub struct Given {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl Given {
    /// The parameters in their order, each by place or by name.
    pub fn take<const N: usize>(self, of: &str, names: [&str; N]) -> Result<[Option<Value>; N]> {
        let mut values = [const { None }; N];
        if self.positional.len() > N {
            return Err(format!("{of} takes at most {N} arguments, {} are given", self.positional.len()));
        }
        for (value, given) in values.iter_mut().zip(self.positional) {
            *value = Some(given);
        }
        for (name, given) in self.named {
            match names.iter().position(|there| *there == name) {
                Some(at) if values[at].is_none() => values[at] = Some(given),
                Some(_) => return Err(format!("{of} got multiple values for argument '{name}'")),
                None => return Err(format!("{of} got an unexpected keyword argument '{name}'")),
            }
        }
        Ok(values)
    }

    /// The one argument.
    pub fn one(self, of: &str) -> Result<Value> {
        let [value] = self.take(of, ["value"])?;
        value.ok_or_else(|| format!("{of} takes an argument"))
    }
}

const FUNCTIONS: [&str; 5] = ["range", "dict", "namespace", "raise_exception", "strftime_now"];

pub fn global(name: &str) -> Option<Value> {
    FUNCTIONS.into_iter().find(|there| *there == name).map(Value::Function)
}

/// The sandbox of jinja2 allows no longer ranges.
const MOST_RANGE: i128 = 100_000;

#[inline(never)]
pub fn function(name: &str, given: Given) -> Result<Value> {
    match name {
        "range" => {
            let [a, b, step] = given.take("range", ["start", "stop", "step"])?;
            let whole = |value: &Value| {
                value
                    .defined()?
                    .as_int()
                    .ok_or_else(|| format!("'{}' object cannot be interpreted as an integer", value.kind()))
            };
            let a = whole(&a.ok_or("range expected at least 1 argument, got 0")?)?;
            let (start, stop) = match b {
                Some(b) => (a, whole(&b)?),
                None => (0, a),
            };
            let step = step.map_or(Ok(1), |step| whole(&step))?;
            if step == 0 {
                return Err("range() arg 3 must not be zero".into());
            }
            let far = stop.saturating_sub(start);
            let count =
                if (far > 0) == (step > 0) { far.abs().div_euclid(step.abs()) + (far % step != 0) as i128 } else { 0 };
            if count > MOST_RANGE {
                return Err(format!("range too big: at most {MOST_RANGE} values"));
            }
            value::make(count as usize * size_of::<Value>())?;
            value::seq(Kind::Range(stop, step), (0..count).map(|i| Value::Int(start + i * step)).collect())
        }
        "dict" => value::dict(entries("dict", given)?),
        "namespace" => {
            let mut vars: Vec<(Rc<str>, Value)> = vec![];
            for (key, value) in entries("namespace", given)? {
                let name = key.as_str().ok_or("a namespace is of names")?;
                if name.starts_with('_') {
                    return Err(format!("a namespace cannot have the attribute {name:?}"));
                }
                if value.depth() >= value::MOST_KEPT {
                    return Err("a namespace keeps a value that nests too deep".into());
                }
                vars.retain(|(there, _)| **there != *name);
                vars.push((name.into(), value));
            }
            Ok(Value::Namespace(Rc::new(RefCell::new(vars))))
        }
        "raise_exception" => {
            let [message] = given.take("raise_exception", ["message"])?;
            Err(message.ok_or("raise_exception takes a message")?.str()?.to_string())
        }
        "strftime_now" => {
            let [format] = given.take("strftime_now", ["format"])?;
            let format = format.ok_or("strftime_now takes a format")?;
            let format = format.as_str().ok_or("strftime_now takes a string")?;
            value::text(super::time::strftime(format, super::time::now()))
        }
        other => Err(format!("{other} is no function of a chat template")),
    }
}

/// What `dict(…)` is made of: a dict or pairs, and keywords.
fn entries(of: &str, given: Given) -> Result<Vec<(Value, Value)>> {
    let mut entries = vec![];
    match &given.positional[..] {
        [] => {}
        [Value::Dict(dict)] => entries.extend(dict.items.iter().cloned()),
        [pairs] => {
            for pair in pairs.defined()?.items()? {
                let [key, value] = <[Value; 2]>::try_from(pair.items()?).map_err(|_| format!("{of} takes pairs"))?;
                entries.push((key, value));
            }
        }
        _ => return Err(format!("{of} expected at most 1 argument, got {}", given.positional.len())),
    }
    for (name, value) in given.named {
        entries.push((value::text(name)?, value));
    }
    Ok(entries)
}
