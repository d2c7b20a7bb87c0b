//! `tojson` as transformers has it: Python's `json.dumps(value, ensure_ascii=False)`, nothing escaped for HTML.

use super::call::Given;
use super::math::compare;
use super::value::{self, Kind, Result, Value, make, spend, text};

struct Writer {
    ascii: bool,
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

pub fn write(of: &Value, given: Given) -> Result<Value> {
    let [ascii, indent, separators, sorted] =
        given.take("tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let is = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Str(pad)) => Some(pad.to_string()),
        Some(width) => {
            Some(" ".repeat(width.as_int().ok_or("indent should be a number or a string")?.clamp(0, 64) as usize))
        }
    };
    let (comma, colon) = match separators {
        None | Some(Value::None) => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
        Some(pair) => {
            let [comma, colon] =
                <[Value; 2]>::try_from(pair.items()?).map_err(|_| "separators should be two strings")?;
            (comma.str()?.to_string(), colon.str()?.to_string())
        }
    };
    let writer = Writer { ascii: is(ascii), indent, comma, colon, sorted: is(sorted) };
    let mut out = String::new();
    writer.write(of, 0, &mut out)?;
    text(out)
}

impl Writer {
    fn line(&self, depth: usize, out: &mut String) -> Result<()> {
        if let Some(indent) = &self.indent {
            make(indent.len() * depth + 1)?;
            out.push('\n');
            *out += &indent.repeat(depth);
        }
        Ok(())
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<()> {
        spend(1)?;
        match value {
            Value::None => *out += "null",
            Value::Bool(value) => *out += if *value { "true" } else { "false" },
            Value::Int(value) => *out += &value.to_string(),
            Value::Float(value) => *out += &number(*value),
            Value::Str(text) => self.string(text, out)?,
            Value::Seq(Kind::List | Kind::Tuple, seq) if seq.items.is_empty() => *out += "[]",
            Value::Seq(Kind::List | Kind::Tuple, seq) => {
                out.push('[');
                for (at, item) in seq.items.iter().enumerate() {
                    *out += if at > 0 { &self.comma } else { "" };
                    self.line(depth + 1, out)?;
                    self.write(item, depth + 1, out)?;
                }
                self.line(depth, out)?;
                out.push(']');
            }
            Value::Dict(dict) if dict.items.is_empty() => *out += "{}",
            Value::Dict(dict) => {
                let mut items: Vec<&(Value, Value)> = dict.items.iter().collect();
                if self.sorted {
                    for pair in items.windows(2) {
                        compare(&pair[0].0, &pair[1].0, "<")?;
                    }
                    items.sort_by(|(a, _), (b, _)| compare(a, b, "<").unwrap_or(std::cmp::Ordering::Equal));
                }
                out.push('{');
                for (at, (key, value)) in items.into_iter().enumerate() {
                    *out += if at > 0 { &self.comma } else { "" };
                    self.line(depth + 1, out)?;
                    match key {
                        Value::Str(key) => self.string(key, out)?,
                        Value::None => *out += "\"null\"",
                        Value::Bool(key) => *out += if *key { "\"true\"" } else { "\"false\"" },
                        Value::Int(key) => *out += &format!("\"{key}\""),
                        Value::Float(key) => *out += &format!("\"{}\"", number(*key)),
                        other => {
                            return Err(format!("keys must be str, int, float, bool or None, not {}", other.kind()));
                        }
                    }
                    *out += &self.colon;
                    self.write(value, depth + 1, out)?;
                }
                self.line(depth, out)?;
                out.push('}');
            }
            other => return Err(format!("Object of type {} is not JSON serializable", other.kind())),
        }
        Ok(())
    }

    fn string(&self, text: &str, out: &mut String) -> Result<()> {
        make(text.len())?;
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => *out += "\\\"",
                '\\' => *out += "\\\\",
                '\n' => *out += "\\n",
                '\r' => *out += "\\r",
                '\t' => *out += "\\t",
                '\x08' => *out += "\\b",
                '\x0c' => *out += "\\f",
                c if c < ' ' => *out += &format!("\\u{:04x}", c as u32),
                c if self.ascii && !c.is_ascii() => {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| *out += &format!("\\u{unit:04x}"));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Ok(())
    }
}

fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        value => value::float(value),
    }
}
