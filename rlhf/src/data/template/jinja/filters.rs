//! jinja2's filters, and transformers' `tojson`.

use std::cmp::Ordering;

use super::attributes::{attribute, item};
use super::call::Given;
use super::is::test;
use super::lex::is_space;
use super::math::{self, compare};
use super::methods::pairs;
use super::strings::{centered, replace};
use super::value::{self, Kind, Result, Value, equal, generator, list, make, spend, text};
use super::{json, words};

#[inline(never)]
pub fn filter(name: &str, of: Value, given: Given) -> Result<Value> {
    spend(1)?;
    if let Some(done) = words::filter(name, &of) {
        given.take::<0>(name, [])?;
        return done;
    }
    match name {
        "default" | "d" => {
            let [otherwise, boolean] = given.take(name, ["default_value", "boolean"])?;
            let wanted = matches!(of, Value::Undefined(_)) || boolean.is_some_and(|b| b.is_true()) && !of.is_true();
            if wanted { otherwise.map_or_else(|| text(""), Ok) } else { Ok(of) }
        }
        "tojson" => json::write(&of, given),
        "length" | "count" => Ok(Value::Int(of.len()? as i128)),
        "list" => list(of.items()?),
        "first" => match &of {
            Value::Gen(left) => Ok(left.borrow_mut().next()),
            of => Ok(of.items()?.into_iter().next()),
        }
        .map(|found| found.unwrap_or_else(|| Value::undefined("No first item, sequence was empty: it"))),
        "last" => match &of {
            Value::Gen(_) => Err("'generator' object is not reversible".into()),
            of => Ok(of.items()?.pop().unwrap_or_else(|| Value::undefined("No last item, sequence was empty: it"))),
        },
        "items" => match &of {
            Value::Undefined(_) => generator(vec![]),
            of => generator(pairs(of)?),
        },
        "attr" => {
            // an attribute of the object itself: a dict has methods alone
            let name = given.one("attr")?.str()?;
            match &of {
                Value::Dict(_) => Ok(Value::undefined(&format!("'dict object' has no attribute '{name}': it"))),
                of => attribute(of, &name),
            }
        }
        "join" => {
            let [by, key] = given.take(name, ["d", "attribute"])?;
            let by = by.map_or(Ok("".into()), |by| by.str())?;
            let mut out = String::new();
            for (at, one) in of.items()?.iter().enumerate() {
                let one = key.as_ref().map_or_else(|| Ok(one.clone()), |key| path(one, key, &None))?;
                let one = one.str()?;
                make(one.len() + by.len())?;
                out += if at > 0 { &by } else { "" };
                out += &one;
            }
            text(out)
        }
        "string" => Ok(Value::Str(of.str()?)),
        "int" => {
            let [otherwise, base] = given.take(name, ["default", "base"])?;
            let base = base.and_then(|base| base.as_int()).unwrap_or(10) as u32;
            int(&of, base).map(|found| found.map_or_else(|| otherwise.unwrap_or(Value::Int(0)), Value::Int))
        }
        "float" => {
            let [otherwise] = given.take(name, ["default"])?;
            let parsed = match of.defined()? {
                Value::Str(text) => python_float(text),
                other => other.as_float(),
            };
            Ok(parsed.map_or_else(|| otherwise.unwrap_or(Value::Float(0.0)), Value::Float))
        }
        "abs" => match of.defined()? {
            Value::Float(value) => Ok(Value::Float(value.abs())),
            other => other
                .as_int()
                .map(|v| Value::Int(v.abs()))
                .ok_or_else(|| format!("bad operand type for abs(): '{}'", other.kind())),
        },
        "round" => {
            let [precision, method] = given.take(name, ["precision", "method"])?;
            let precision = precision.and_then(|p| p.as_int()).unwrap_or(0).clamp(-300, 300) as i32;
            let method = method.map_or(Ok("common".into()), |method| method.str())?;
            let wrong = || format!("type {} doesn't define __round__ method", of.kind());
            let value = of.defined()?.as_float().ok_or_else(wrong)?;
            let power = 10f64.powi(precision);
            match &*method {
                // whole numbers stay what they are
                "common" if of.as_int().is_some() && precision >= 0 => Ok(Value::Int(of.as_int().unwrap_or(0))),
                "common" if precision >= 0 => {
                    Ok(Value::Float(format!("{value:.0$}", precision as usize).parse().unwrap_or(value)))
                }
                "common" => Ok(Value::Float((value * power).round_ties_even() / power)),
                "ceil" => Ok(Value::Float((value * power).ceil() / power)),
                "floor" => Ok(Value::Float((value * power).floor() / power)),
                _ => Err("method must be common, ceil or floor".into()),
            }
        }
        "trim" => {
            let [chars] = given.take(name, ["chars"])?;
            let set = chars.filter(|chars| !matches!(chars, Value::None)).map(|chars| chars.str()).transpose()?;
            text(of.str()?.trim_matches(|c| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(c))))
        }
        "replace" => {
            let [old, new, count] = given.take(name, ["old", "new", "count"])?;
            let wanted = |value: Option<Value>| value.ok_or("replace takes two strings")?.str();
            let count = count.and_then(|count| count.as_int()).unwrap_or(-1);
            replace(&of.str()?, &wanted(old)?, &wanted(new)?, count)
        }
        "indent" => {
            let [width, first, blank] = given.take(name, ["width", "first", "blank"])?;
            let is = |value: Option<Value>| value.is_some_and(|value| value.is_true());
            let pad = match width {
                None => "    ".to_string(),
                Some(Value::Str(pad)) => pad.to_string(),
                Some(width) => " ".repeat(width.as_int().unwrap_or(4).clamp(0, 1000) as usize),
            };
            words::indent(&of.str()?, &pad, is(first), is(blank))
        }
        "center" => {
            let [width] = given.take(name, ["width"])?;
            let width = width.and_then(|width| width.as_int()).unwrap_or(80).clamp(0, 100_000) as usize;
            make(width)?;
            text(centered(&of.str()?, width, ' '))
        }
        "truncate" => {
            let [length, kill, end, leeway] = given.take(name, ["length", "killwords", "end", "leeway"])?;
            let number = |value: Option<Value>, otherwise| value.and_then(|v| v.as_int()).unwrap_or(otherwise);
            let end = end.map_or(Ok("...".into()), |end| end.str())?;
            words::truncate(
                &of.str()?,
                number(length, 255),
                kill.is_some_and(|kill| kill.is_true()),
                &end,
                number(leeway, 5),
            )
        }
        "format" => super::format::percent(
            &of.str()?,
            &match given.named.is_empty() {
                true => value::seq(Kind::Tuple, given.positional)?,
                false => value::dict(
                    given.named.into_iter().map(|(name, value)| Ok((text(name)?, value))).collect::<Result<_>>()?,
                )?,
            },
        ),
        "urlencode" => words::urlencode(&of),
        "xmlattr" => words::xmlattr(&of, given),
        "dictsort" => {
            let [sensitive, by, reverse] = given.take(name, ["case_sensitive", "by", "reverse"])?;
            let at = match by.map(|by| by.str()).transpose()?.as_deref() {
                None | Some("key") => 0,
                Some("value") => 1,
                _ => return Err("You can only sort by either \"key\" or \"value\"".into()),
            };
            let fold = !sensitive.is_some_and(|s| s.is_true());
            let keyed = |pair: Value| Ok((folded(item(&pair, &Value::Int(at))?, fold)?, pair));
            list(sorted(pairs(&of)?.into_iter().map(keyed).collect::<Result<_>>()?, reverse)?)
        }
        "sort" => {
            let [reverse, sensitive, key] = given.take(name, ["reverse", "case_sensitive", "attribute"])?;
            list(sorted(keyed(&of, &key, !sensitive.is_some_and(|s| s.is_true()))?, reverse)?)
        }
        "min" | "max" => {
            let [sensitive, key] = given.take(name, ["case_sensitive", "attribute"])?;
            let mut best: Option<(Value, Value)> = None;
            for (key, one) in keyed(&of, &key, !sensitive.is_some_and(|s| s.is_true()))? {
                let better = match &best {
                    None => true,
                    Some((there, _)) if name == "min" => compare(&key, there, "<")?.is_lt(),
                    Some((there, _)) => compare(&key, there, ">")?.is_gt(),
                };
                if better {
                    best = Some((key, one));
                }
            }
            Ok(best.map_or_else(|| Value::undefined("No aggregated item, sequence was empty: it"), |(_, one)| one))
        }
        "unique" => {
            let [sensitive, key] = given.take(name, ["case_sensitive", "attribute"])?;
            let (mut seen, mut kept): (Vec<Value>, Vec<Value>) = (vec![], vec![]);
            for (key, one) in keyed(&of, &key, !sensitive.is_some_and(|s| s.is_true()))? {
                if !seen.iter().try_fold(false, |any, there| Ok::<_, String>(any || equal(there, &key)?))? {
                    seen.push(key);
                    kept.push(one);
                }
            }
            generator(kept)
        }
        "sum" => {
            let [key, start] = given.take(name, ["attribute", "start"])?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for one in of.items()? {
                let one = key.as_ref().map_or_else(|| Ok(one.clone()), |key| path(&one, key, &None))?;
                sum = math::math("+", &sum, &one)?;
            }
            Ok(sum)
        }
        "reverse" => match &of {
            Value::Str(whole) => text(whole.chars().rev().collect::<String>()),
            Value::Gen(_) => list(of.items()?.into_iter().rev().collect()),
            of => generator(of.items()?.into_iter().rev().collect()),
        },
        "groupby" => {
            let [key, otherwise, sensitive] = given.take(name, ["attribute", "default", "case_sensitive"])?;
            let key = key.ok_or("groupby takes an attribute")?;
            let fold = !sensitive.is_some_and(|s| s.is_true());
            let keyed = |one: Value| Ok((folded(path(&one, &key, &otherwise)?, fold)?, one));
            let all = sorted_pairs(of.items()?.into_iter().map(keyed).collect::<Result<_>>()?, None)?;
            let mut groups: Vec<(Value, Vec<Value>)> = vec![];
            for (folded, one) in all {
                match groups.last_mut() {
                    Some((there, ones)) if equal(there, &folded)? => ones.push(one),
                    _ => groups.push((folded, vec![one])),
                }
            }
            let group = |(_, ones): (Value, Vec<Value>)| {
                let grouper = path(&ones[0], &key, &otherwise)?;
                value::seq(Kind::Tuple, vec![grouper, list(ones)?])
            };
            list(groups.into_iter().map(group).collect::<Result<_>>()?)
        }
        "batch" | "slice" => {
            let [n, fill] = given.take(name, [if name == "batch" { "linecount" } else { "slices" }, "fill_with"])?;
            let n =
                n.and_then(|n| n.as_int()).filter(|n| *n > 0).ok_or_else(|| format!("{name} takes a number"))? as usize;
            let items = of.items()?;
            let fill = fill.filter(|fill| !matches!(fill, Value::None));
            generator(if name == "batch" { words::batch(items, n, fill)? } else { words::slices(items, n, fill)? })
        }
        "map" => {
            let Given { mut positional, mut named } = given;
            if positional.is_empty() && named.iter().any(|(name, _)| name == "attribute") {
                let mut take =
                    |wanted: &str| named.iter().position(|(name, _)| name == wanted).map(|at| named.remove(at).1);
                let (key, otherwise) = (take("attribute").expect("looked for"), take("default"));
                let found = of.items()?.iter().map(|one| path(one, &key, &otherwise)).collect::<Result<_>>()?;
                return generator(found);
            }
            // a filter of filters of filters: as many as there are arguments
            if !(1..=20).contains(&positional.len()) {
                return Err("map requires a filter argument, and takes no more than 20".into());
            }
            let name = positional.remove(0).str()?;
            let again = |one: Value| filter(&name, one, Given { positional: positional.clone(), named: named.clone() });
            generator(of.items()?.into_iter().map(again).collect::<Result<_>>()?)
        }
        "select" | "reject" | "selectattr" | "rejectattr" => {
            let Given { mut positional, named } = given;
            let key = match name.ends_with("attr") {
                true if positional.is_empty() => return Err("Missing parameter for attribute name".into()),
                true => Some(positional.remove(0)),
                false => None,
            };
            let by = if positional.is_empty() { None } else { Some(positional.remove(0).str()?) };
            let args = Given { positional, named };
            let mut kept = vec![];
            for one in of.items()? {
                let tested = key.as_ref().map_or_else(|| Ok(one.clone()), |key| path(&one, key, &None))?;
                let is = by.as_ref().map_or_else(|| Ok(tested.is_true()), |by| test(by, &tested, &args))?;
                if is == name.starts_with("select") {
                    kept.push(one);
                }
            }
            generator(kept)
        }
        other => Err(format!("the filter {other:?} is not known")),
    }
}

/// An attribute, or a path of them: `a.b.0`.
fn path(of: &Value, key: &Value, otherwise: &Option<Value>) -> Result<Value> {
    let Value::Str(names) = key else { return item(of, key) };
    let mut value = of.clone();
    for name in names.split('.') {
        let key = name.parse::<u32>().map_or_else(|_| Value::Str(name.into()), |at| Value::Int(at.into()));
        value = item(&value, &key)?;
        if let (Value::Undefined(_), Some(otherwise)) = (&value, otherwise) {
            value = otherwise.clone();
        }
    }
    Ok(value)
}

fn folded(value: Value, fold: bool) -> Result<Value> {
    match &value {
        Value::Str(whole) if fold => text(whole.to_lowercase()),
        _ => Ok(value),
    }
}

/// Each item with what it is sorted by: several attributes with commas between them make a list.
fn keyed(of: &Value, key: &Option<Value>, fold: bool) -> Result<Vec<(Value, Value)>> {
    let one = |one: Value| {
        let by = match key {
            None => folded(one.clone(), fold)?,
            Some(Value::Str(names)) if names.contains(',') => {
                let parts = names.split(',').map(|name| folded(path(&one, &text(name)?, &None)?, fold));
                list(parts.collect::<Result<_>>()?)?
            }
            Some(key) => folded(path(&one, key, &None)?, fold)?,
        };
        Ok((by, one))
    };
    of.items()?.into_iter().map(one).collect()
}

fn sorted(all: Vec<(Value, Value)>, reverse: Option<Value>) -> Result<Vec<Value>> {
    Ok(sorted_pairs(all, reverse)?.into_iter().map(|(_, one)| one).collect())
}

fn sorted_pairs(mut all: Vec<(Value, Value)>, reverse: Option<Value>) -> Result<Vec<(Value, Value)>> {
    let reverse = reverse.is_some_and(|reverse| reverse.is_true());
    // one comparison that fails makes any order; it is told below
    let mut failed = None;
    for pair in all.windows(2) {
        compare(&pair[0].0, &pair[1].0, "<")?;
    }
    all.sort_by(|(a, _), (b, _)| {
        let order = compare(a, b, "<").unwrap_or_else(|error| {
            failed.get_or_insert(error);
            Ordering::Equal
        });
        if reverse { order.reverse() } else { order }
    });
    failed.map_or(Ok(all), Err)
}

fn int(of: &Value, base: u32) -> Result<Option<i128>> {
    Ok(match of.defined()? {
        Value::Float(value) if value.is_finite() && value.abs() < 1e38 => Some(value.trunc() as i128),
        Value::Str(whole) => {
            let trimmed = whole.trim_matches(is_space).replace('_', "");
            let (sign, digits) = match trimmed.strip_prefix('-') {
                Some(digits) => (-1, digits),
                None => (1, trimmed.strip_prefix('+').unwrap_or(&trimmed)),
            };
            let prefix = match base {
                16 => "0x",
                8 => "0o",
                2 => "0b",
                _ => "",
            };
            let lower = digits.to_lowercase();
            let digits = lower.strip_prefix(prefix).unwrap_or(&lower);
            let plain = digits.chars().all(|c| c.is_ascii_alphanumeric()) && (2..=36).contains(&base);
            let parsed = if plain { i128::from_str_radix(digits, base).ok() } else { None };
            parsed.map(|value| sign * value).or_else(|| {
                python_float(whole)
                    .filter(|value| value.is_finite() && value.abs() < 1e38)
                    .map(|value| value.trunc() as i128)
            })
        }
        other => other.as_int(),
    })
}

fn python_float(text: &str) -> Option<f64> {
    let trimmed = text.trim_matches(is_space).replace('_', "").to_lowercase();
    let word = trimmed.trim_start_matches(['+', '-']);
    let known =
        word.starts_with(|c: char| c.is_ascii_digit() || c == '.') || ["inf", "infinity", "nan"].contains(&word);
    if known { trimmed.parse().ok() } else { None }
}
