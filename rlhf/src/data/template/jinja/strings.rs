//! The methods of Python's strings.

use std::rc::Rc;

use super::call::Given;
use super::lex::is_space;
use super::slice::slice;
use super::value::{self, Kind, Result, Value, list, make, text};

pub const METHODS: [&str; 46] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| titled(first) + &chars.as_str().to_lowercase())
}

/// The first letter of a word: digraphs such as ß and ǆ have a form of their own.
pub fn titled(first: char) -> String {
    match first {
        'ß' => "Ss".into(),
        'ﬁ' => "Fi".into(),
        'ﬂ' => "Fl".into(),
        'ǆ' | 'Ǆ' => "ǅ".into(),
        c => c.to_uppercase().collect(),
    }
}

fn title(text: &str) -> String {
    let (mut out, mut inside) = (String::new(), false);
    for c in text.chars() {
        match inside {
            true => out.extend(c.to_lowercase()),
            false => out += &titled(c),
        }
        inside = c.is_alphabetic();
    }
    out
}

/// Python's padding: what does not divide evenly goes to the left, if the width is odd.
pub fn centered(text: &str, width: usize, fill: char) -> String {
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    let left = missing / 2 + (missing & width & 1);
    let fill = |n: usize| fill.to_string().repeat(n);
    format!("{}{text}{}", fill(left), fill(missing - left))
}

fn splitlines(text: &str, keep: bool) -> Vec<String> {
    let is_end = |c: char| "\n\r\x0b\x0c\x1c\x1d\x1e\u{85}\u{2028}\u{2029}".contains(c);
    let (mut lines, mut line) = (vec![], String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if !is_end(c) {
            line.push(c);
            continue;
        }
        let mut end = c.to_string();
        if c == '\r' && chars.peek() == Some(&'\n') {
            end.extend(chars.next());
        }
        lines.push(std::mem::take(&mut line) + if keep { &end } else { "" });
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn split(whole: &str, by: Option<&str>, most: i128, right: bool) -> Result<Vec<String>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX - 1);
    let owned = |parts: Vec<&str>| parts.into_iter().map(str::to_string).collect::<Vec<_>>();
    let Some(by) = by else {
        let mut parts = vec![];
        let mut rest = if right { whole.trim_end_matches(is_space) } else { whole.trim_start_matches(is_space) };
        while !rest.is_empty() {
            if parts.len() == most {
                parts.push(if right { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) });
                break;
            }
            let (part, left) = match right {
                false => rest.split_at(rest.find(is_space).unwrap_or(rest.len())),
                true => {
                    let at =
                        rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
                    (&rest[at..], &rest[..at])
                }
            };
            parts.push(part);
            rest = if right { left.trim_end_matches(is_space) } else { left.trim_start_matches(is_space) };
        }
        if right {
            parts.reverse();
        }
        return Ok(owned(parts));
    };
    if by.is_empty() {
        return Err("empty separator".into());
    }
    let mut parts: Vec<&str> =
        if right { whole.rsplitn(most + 1, by).collect() } else { whole.splitn(most + 1, by).collect() };
    if right {
        parts.reverse();
    }
    Ok(owned(parts))
}

fn texts(parts: Vec<String>) -> Result<Value> {
    list(parts.into_iter().map(text).collect::<Result<_>>()?)
}

#[inline(never)]
pub fn call(whole: &Rc<str>, name: &str, given: Given) -> Result<Value> {
    let wanted = |value: Option<Value>| -> Result<Rc<str>> {
        let value = value.ok_or_else(|| format!("{name} takes an argument"))?;
        match value {
            Value::Str(text) => Ok(text),
            other => Err(format!("{name}: must be str, not {}", other.kind())),
        }
    };
    let whole_number = |value: Option<Value>, otherwise: i128| match value {
        None => Ok(otherwise),
        Some(value) => value
            .as_int()
            .ok_or_else(|| format!("{name}: '{}' object cannot be interpreted as an integer", value.kind())),
    };
    let all = |is: fn(char) -> bool| Ok(Value::Bool(!whole.is_empty() && whole.chars().all(is)));
    let cased = |is: fn(char) -> bool, not: fn(char) -> bool| {
        Ok(Value::Bool(whole.chars().any(is) && !whole.chars().any(|c| not(c) || is_title(c))))
    };
    match name {
        "upper" => text(whole.to_uppercase()),
        "lower" | "casefold" => {
            text(if name == "lower" { whole.to_lowercase() } else { whole.to_lowercase().replace('ß', "ss") })
        }
        "capitalize" => text(capitalized(whole)),
        "title" => text(title(whole)),
        "swapcase" => text(
            whole
                .chars()
                .flat_map(|c| {
                    if c.is_uppercase() { c.to_lowercase().collect::<Vec<_>>() } else { c.to_uppercase().collect() }
                })
                .collect::<String>(),
        ),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isascii" => Ok(Value::Bool(whole.is_ascii())),
        "isdecimal" => all(|c| c.is_ascii_digit() || (c.is_numeric() && decimal(c))),
        "isdigit" => {
            all(|c| c.is_ascii_digit() || "²³¹⁰⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉".contains(c) || (c.is_numeric() && decimal(c)))
        }
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(is_space),
        "isprintable" => Ok(Value::Bool(whole.chars().all(|c| c == ' ' || !(c.is_control() || is_space(c))))),
        "isidentifier" => Ok(Value::Bool(
            whole.starts_with(|c: char| c == '_' || c.is_alphabetic())
                && whole.chars().all(|c| c == '_' || c.is_alphanumeric()),
        )),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => Ok(Value::Bool(whole.chars().any(|c| c.is_uppercase()) && title(whole) == **whole)),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = given.take(name, ["chars"])?;
            let set = match chars {
                None | Some(Value::None) => None,
                other => Some(wanted(other)?),
            };
            let is = |c: char| set.as_ref().map_or_else(|| is_space(c), |set| set.contains(c));
            text(match name {
                "strip" => whole.trim_matches(is),
                "lstrip" => whole.trim_start_matches(is),
                _ => whole.trim_end_matches(is),
            })
        }
        "split" | "rsplit" => {
            let [by, most] = given.take(name, ["sep", "maxsplit"])?;
            let by = match by {
                None | Some(Value::None) => None,
                other => Some(wanted(other)?),
            };
            make(whole.len())?;
            texts(split(whole, by.as_deref(), whole_number(most, -1)?, name == "rsplit")?)
        }
        "splitlines" => {
            let [keep] = given.take(name, ["keepends"])?;
            texts(splitlines(whole, keep.is_some_and(|keep| keep.is_true())))
        }
        "startswith" | "endswith" => {
            let [what, start, end] = given.take(name, ["prefix", "start", "end"])?;
            let what = what.ok_or("it takes an argument")?;
            let part = slice(&Value::Str(whole.clone()), [start, end, None])?;
            let part = part.as_str().unwrap_or_default();
            let fits = |what: &Value| -> Result<bool> {
                let what = wanted(Some(what.clone()))?;
                Ok(if name == "startswith" { part.starts_with(&*what) } else { part.ends_with(&*what) })
            };
            Ok(Value::Bool(match &what {
                Value::Seq(Kind::Tuple, all) => {
                    all.items.iter().try_fold(false, |any, one| Ok::<_, String>(any || fits(one)?))?
                }
                one => fits(one)?,
            }))
        }
        "removeprefix" => text(whole.strip_prefix(&*wanted(Some(given.one(name)?))?).unwrap_or(whole)),
        "removesuffix" => text(whole.strip_suffix(&*wanted(Some(given.one(name)?))?).unwrap_or(whole)),
        "replace" => {
            let [old, new, count] = given.take(name, ["old", "new", "count"])?;
            replace(whole, &wanted(old)?, &wanted(new)?, whole_number(count, -1)?)
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [what, start, end] = given.take(name, ["sub", "start", "end"])?;
            let what = wanted(what)?;
            let shift = match start.as_ref().and_then(Value::as_int) {
                Some(start) if start < 0 => (start + whole.chars().count() as i128).max(0),
                Some(start) => start,
                None => 0,
            };
            let part = slice(&Value::Str(whole.clone()), [start, end, None])?;
            let part = part.as_str().unwrap_or_default();
            if name == "count" {
                let count = if what.is_empty() { part.chars().count() + 1 } else { part.matches(&*what).count() };
                return Ok(Value::Int(count as i128));
            }
            let found = if name.starts_with('r') { part.rfind(&*what) } else { part.find(&*what) };
            match found {
                Some(at) => Ok(Value::Int(part[..at].chars().count() as i128 + shift)),
                None if name.ends_with("index") => Err("substring not found".into()),
                None => Ok(Value::Int(-1)),
            }
        }
        "partition" | "rpartition" => {
            let by = wanted(Some(given.one(name)?))?;
            if by.is_empty() {
                return Err("empty separator".into());
            }
            let found = if name == "partition" { whole.split_once(&*by) } else { whole.rsplit_once(&*by) };
            let parts = match found {
                Some((before, after)) => [before, &by, after],
                None if name == "partition" => [whole, "", ""],
                None => ["", "", whole],
            };
            value::seq(Kind::Tuple, parts.iter().map(text).collect::<Result<_>>()?)
        }
        "join" => {
            let mut out = String::new();
            for (at, part) in given.one(name)?.items()?.iter().enumerate() {
                let part = part
                    .as_str()
                    .ok_or_else(|| format!("sequence item {at}: expected str instance, {} found", part.kind()))?;
                make(part.len() + whole.len())?;
                if at > 0 {
                    out += whole;
                }
                out += part;
            }
            text(out)
        }
        "ljust" | "rjust" | "center" | "zfill" => {
            let [width, fill] = given.take(name, ["width", "fillchar"])?;
            let width = usize::try_from(whole_number(width, -1)?.max(0)).map_err(|_| "too wide")?;
            let fill = fill.map_or(Ok(" ".into()), |fill| wanted(Some(fill)))?;
            let fill = fill
                .chars()
                .next()
                .filter(|_| fill.chars().count() == 1)
                .ok_or("The fill character must be exactly one character long")?;
            make(width.saturating_mul(4))?;
            let missing = width.saturating_sub(whole.chars().count());
            let pad = fill.to_string().repeat(if name == "center" { 0 } else { missing });
            text(match name {
                "ljust" => format!("{whole}{pad}"),
                "rjust" => format!("{pad}{whole}"),
                "center" => centered(whole, width, fill),
                _ => {
                    let digits = whole.trim_start_matches(['+', '-']);
                    let sign = if whole.len() - digits.len() > 0 { &whole[..1] } else { "" };
                    format!("{sign}{}{}", "0".repeat(missing), &whole[sign.len()..])
                }
            })
        }
        "expandtabs" => {
            let [size] = given.take(name, ["tabsize"])?;
            let size = usize::try_from(whole_number(size, 8)?.clamp(0, 64)).unwrap_or(8);
            let (mut out, mut column) = (String::new(), 0);
            for c in whole.chars() {
                match c {
                    '\t' if size > 0 => {
                        let n = size - column % size;
                        out += &" ".repeat(n);
                        column += n;
                    }
                    '\t' => {}
                    c => {
                        out.push(c);
                        column = if c == '\n' || c == '\r' { 0 } else { column + 1 };
                    }
                }
            }
            text(out)
        }
        other => Err(format!("the method {other:?} of strings is not known")),
    }
}

pub fn replace(whole: &str, old: &str, new: &str, count: i128) -> Result<Value> {
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = if old.is_empty() { whole.chars().count() + 1 } else { whole.matches(old).count() };
    make(whole.len().saturating_add(found.min(most).saturating_mul(new.len())))?;
    text(whole.replacen(old, new, most))
}

fn is_title(c: char) -> bool {
    "ǅǈǋǲ".contains(c)
}

/// A digit of some script, of which ten follow one another.
fn decimal(c: char) -> bool {
    const ZEROS: [u32; 12] = [0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xe50, 0xed0, 0xff10];
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&(c as u32)))
}
