//! Slices, as Python cuts them.

use super::value::{self, Kind, Result, Value, make, text};

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
