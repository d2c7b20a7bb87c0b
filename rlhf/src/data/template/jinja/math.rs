//! How values are ordered and add up.

use std::cmp::Ordering;

use super::value::{Kind, Result, Value, equal, hashable, make, seq, spend};

/// Which comes first; `op` is what was asked, for the error.
pub fn compare(a: &Value, b: &Value, op: &str) -> Result<Ordering> {
    spend(1)?;
    a.defined()?;
    b.defined()?;
    let wrong = || format!("'{op}' not supported between instances of '{}' and '{}'", a.kind(), b.kind());
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(a.chars().cmp(b.chars())),
        (Value::Seq(x, p), Value::Seq(y, q)) if x == y && matches!(x, Kind::List | Kind::Tuple) => {
            for (a, b) in p.items.iter().zip(&q.items) {
                if !equal(a, b)? {
                    return compare(a, b, op);
                }
            }
            Ok(p.items.len().cmp(&q.items.len()))
        }
        _ => match (a.as_int(), b.as_int()) {
            (Some(a), Some(b)) => Ok(a.cmp(&b)),
            _ => {
                let (a, b) = (a.as_float().ok_or_else(wrong)?, b.as_float().ok_or_else(wrong)?);
                a.partial_cmp(&b).ok_or_else(|| "a number that is not one is compared".into())
            }
        },
    }
}

pub fn contains(whole: &Value, part: &Value) -> Result<bool> {
    match whole {
        Value::Undefined(_) => Ok(false),
        Value::Str(text) => {
            spend(text.len() / 32)?;
            let part = part
                .as_str()
                .ok_or_else(|| format!("'in <string>' requires string as left operand, not {}", part.kind()))?;
            Ok(text.contains(part))
        }
        Value::Dict(dict) => {
            hashable(part)?;
            spend(dict.items.len() / 8)?;
            Ok(whole.get(part).is_some())
        }
        Value::Seq(..) | Value::Gen(_) => {
            for item in whole.items()? {
                if equal(&item, part)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        other => Err(format!("argument of type '{}' is not iterable", other.kind())),
    }
}

const LARGE: &str = "a number that is too large";

#[inline(never)]
pub fn math(op: &str, a: &Value, b: &Value) -> Result<Value> {
    a.defined()?;
    b.defined()?;
    let wrong = || format!("unsupported operand type(s) for {op}: '{}' and '{}'", a.kind(), b.kind());
    if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
        return whole_numbers(op, x, y);
    }
    if let (Some(x), Some(y)) = (a.as_float(), b.as_float()) {
        return Ok(Value::Float(match op {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "**" => x.powf(y),
            _ if y == 0.0 => return Err("division by zero".into()),
            "/" => x / y,
            "//" => (x / y).floor(),
            _ => x - y * (x / y).floor(),
        }));
    }
    match (op, a, b) {
        ("+", Value::Str(x), Value::Str(y)) => {
            make(x.len() + y.len())?;
            Ok(Value::Str([&**x, &**y].concat().into()))
        }
        ("+", Value::Seq(x @ (Kind::List | Kind::Tuple), p), Value::Seq(y, q)) if x == y => {
            make((p.items.len() + q.items.len()) * size_of::<Value>())?;
            seq(*x, [&p.items[..], &q.items[..]].concat())
        }
        ("*", Value::Str(_) | Value::Seq(Kind::List | Kind::Tuple, _), _) if b.as_int().is_some() => times(a, b),
        ("*", _, Value::Str(_) | Value::Seq(Kind::List | Kind::Tuple, _)) if a.as_int().is_some() => times(b, a),
        ("%", Value::Str(format), _) => super::format::percent(format, b),
        _ => Err(wrong()),
    }
}

fn times(value: &Value, n: &Value) -> Result<Value> {
    let n = usize::try_from(n.as_int().unwrap_or(0).max(0)).map_err(|_| LARGE)?;
    match value {
        Value::Str(text) => {
            make(text.len().checked_mul(n).ok_or(LARGE)?)?;
            Ok(Value::Str(text.repeat(n).into()))
        }
        Value::Seq(kind, items) => {
            make(items.items.len().checked_mul(n * size_of::<Value>()).ok_or(LARGE)?)?;
            seq(*kind, std::iter::repeat_n(&items.items, n).flatten().cloned().collect())
        }
        _ => Err(LARGE.into()),
    }
}

fn whole_numbers(op: &str, x: i128, y: i128) -> Result<Value> {
    let value = match op {
        "+" => x.checked_add(y),
        "-" => x.checked_sub(y),
        "*" => x.checked_mul(y),
        "**" if y < 0 && x != 0 => return Ok(Value::Float((x as f64).powf(y as f64))),
        "**" if y >= 0 => x.checked_pow(u32::try_from(y).map_err(|_| LARGE)?),
        "**" => return Err("0 cannot be raised to a negative power".into()),
        _ if y == 0 => return Err("division by zero".into()),
        "/" => return Ok(Value::Float(x as f64 / y as f64)),
        "//" => {
            x.checked_div_euclid(y).and_then(|q| if y < 0 && x.rem_euclid(y) != 0 { q.checked_sub(1) } else { Some(q) })
        }
        _ => x.checked_rem(y).and_then(|r| if r != 0 && (r < 0) != (y < 0) { r.checked_add(y) } else { Some(r) }),
    };
    value.map(Value::Int).ok_or_else(|| LARGE.into())
}

#[inline(never)]
pub fn compared(op: &str, a: &Value, b: &Value) -> Result<bool> {
    Ok(match op {
        "==" => equal(a, b)?,
        "!=" => !equal(a, b)?,
        "<" => compare(a, b, op)?.is_lt(),
        "<=" => compare(a, b, op)?.is_le(),
        ">" => compare(a, b, op)?.is_gt(),
        ">=" => compare(a, b, op)?.is_ge(),
        "in" => contains(b, a)?,
        _ => !contains(b, a)?,
    })
}
