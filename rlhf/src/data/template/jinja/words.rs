//! Filters of texts, and of lists in parts.

use super::call::Given;
use super::lex::is_space;
use super::value::{Result, Value, list, make, text};

/// Those that take no argument.
#[inline(never)]
pub fn filter(name: &str, of: &Value) -> Option<Result<Value>> {
    let with = |change: fn(&str) -> String| of.str().and_then(|whole| text(change(&whole)));
    Some(match name {
        "upper" => with(str::to_uppercase),
        "lower" => with(str::to_lowercase),
        "capitalize" => with(super::strings::capitalized),
        "title" => with(title),
        "safe" => of.str().map(Value::Str),
        "escape" | "e" | "forceescape" => with(escape),
        "striptags" => with(striptags),
        "wordcount" => of.str().map(|whole| Value::Int(words(&whole) as i128)),
        "pprint" => of.repr().and_then(text),
        _ => return None,
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('>', "&gt;").replace('<', "&lt;").replace('\'', "&#39;").replace('"', "&#34;")
}

/// Words begin after white space, a dash or an opening bracket.
fn title(text: &str) -> String {
    let (mut out, mut first) = (String::new(), true);
    for c in text.chars() {
        match first {
            true => out.extend(c.to_uppercase()),
            false => out.extend(c.to_lowercase()),
        }
        first = is_space(c) || "-({[<".contains(c);
    }
    out
}

fn words(text: &str) -> usize {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).count()
}

fn striptags(text: &str) -> String {
    let mut out = text.to_string();
    for (open, close) in [("<!--", "-->"), ("<", ">")] {
        let (mut kept, mut rest) = (String::new(), out.as_str());
        while let Some(at) = rest.find(open) {
            let Some(end) = rest[at..].find(close) else { break };
            kept += &rest[..at];
            rest = &rest[at + end + close.len()..];
        }
        out = kept + rest;
    }
    let spaced: Vec<&str> = out.split(is_space).filter(|word| !word.is_empty()).collect();
    let named = [("&lt;", "<"), ("&gt;", ">"), ("&#39;", "'"), ("&#34;", "\""), ("&quot;", "\""), ("&amp;", "&")];
    named.into_iter().fold(spaced.join(" "), |text, (name, is)| text.replace(name, is))
}

pub fn indent(whole: &str, pad: &str, first: bool, blank: bool) -> Result<Value> {
    let lines: Vec<&str> = whole.split('\n').collect();
    make(whole.len() + lines.len() * pad.len())?;
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at > 0 && (blank || !line.is_empty())) || (at == 0 && first) {
            out += pad;
        }
        out += line;
    }
    text(out)
}

pub fn truncate(whole: &str, length: i128, kill: bool, end: &str, leeway: i128) -> Result<Value> {
    let (count, ending) = (whole.chars().count() as i128, end.chars().count() as i128);
    if length < ending || leeway < 0 {
        return Err(format!("expected length >= {ending}, got {length}"));
    }
    if count <= length.saturating_add(leeway) {
        return text(whole);
    }
    let kept: String = whole.chars().take((length - ending) as usize).collect();
    let kept = match kill {
        true => &kept[..],
        false => kept.rsplit_once(' ').map_or(&kept[..], |(before, _)| before),
    };
    text(format!("{kept}{end}"))
}

fn quoted(text: &str, slash: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(byte as char),
            b'/' if slash => out.push('/'),
            byte => out += &format!("%{byte:02X}"),
        }
    }
    out
}

pub fn urlencode(of: &Value) -> Result<Value> {
    let pairs: Vec<Value> = match of {
        Value::Dict(_) => super::methods::pairs(of)?,
        Value::Seq(..) => of.items()?,
        other => return text(quoted(&other.str()?, true)),
    };
    let mut parts = vec![];
    for pair in pairs {
        let [key, value] = <[Value; 2]>::try_from(pair.items()?).map_err(|_| "urlencode takes pairs")?;
        parts.push(format!(
            "{}={}",
            quoted(&key.str()?, false).replace("%20", "+"),
            quoted(&value.str()?, false).replace("%20", "+")
        ));
    }
    text(parts.join("&"))
}

pub fn xmlattr(of: &Value, given: Given) -> Result<Value> {
    let [space] = given.take("xmlattr", ["autospace"])?;
    let Value::Dict(dict) = of else { return Err("xmlattr takes a mapping".into()) };
    let mut parts = vec![];
    for (key, value) in &dict.items {
        let key = key.str()?;
        if matches!(value, Value::None | Value::Undefined(_)) {
            continue;
        }
        if key.contains(|c: char| is_space(c) || "/>=".contains(c)) {
            return Err(format!("Invalid character in attribute name: {key:?}"));
        }
        parts.push(format!("{}=\"{}\"", escape(&key), escape(&value.str()?)));
    }
    let space = if parts.is_empty() || space.is_some_and(|space| !space.is_true()) { "" } else { " " };
    text(format!("{space}{}", parts.join(" ")))
}

/// Lists of n items each.
pub fn batch(items: Vec<Value>, n: usize, fill: Option<Value>) -> Result<Vec<Value>> {
    let mut lists = vec![];
    for chunk in items.chunks(n) {
        let mut chunk = chunk.to_vec();
        if let Some(fill) = &fill {
            make((n - chunk.len()).saturating_mul(size_of::<Value>()))?;
            chunk.resize(n, fill.clone());
        }
        lists.push(list(chunk)?);
    }
    Ok(lists)
}

/// n lists.
pub fn slices(items: Vec<Value>, n: usize, fill: Option<Value>) -> Result<Vec<Value>> {
    make(n.saturating_mul(size_of::<Value>()))?;
    let (each, more) = (items.len() / n, items.len() % n);
    let (mut lists, mut at) = (vec![], 0);
    for i in 0..n {
        let end = at + each + usize::from(i < more);
        let mut part = items[at..end].to_vec();
        if i >= more {
            part.extend(fill.clone());
        }
        lists.push(list(part)?);
        at = end;
    }
    Ok(lists)
}

pub fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

pub fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}
