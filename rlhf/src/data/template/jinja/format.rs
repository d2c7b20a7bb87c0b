//! `'%s' % value` and `'{}'.format(value)`.

use super::attributes::{attribute, item};
use super::call::Given;
use super::value::{self, Kind, Result, Value, make, text};

/// How wide, how aligned, with what sign a value is written.
#[derive(Default, Clone)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    comma: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

/// Wider fields are a mistake, or an attack.
const MOST_WIDTH: usize = 100_000;

impl Spec {
    /// A number with its sign, filled up.
    fn padded(&self, body: String, negative: bool, prefix: &str, number: bool) -> Result<String> {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let missing = self.width.saturating_sub(body.chars().count() + sign.len() + prefix.len());
        make(missing)?;
        let align = self.align.unwrap_or(if self.zero && number {
            '='
        } else if number {
            '>'
        } else {
            '<'
        });
        let fill = self.fill.unwrap_or(if self.zero && number { '0' } else { ' ' });
        let fill = |n: usize| fill.to_string().repeat(n);
        Ok(match align {
            '<' => format!("{sign}{prefix}{body}{}", fill(missing)),
            '^' => format!("{}{sign}{prefix}{body}{}", fill(missing / 2), fill(missing - missing / 2)),
            '=' => format!("{sign}{prefix}{}{body}", fill(missing)),
            _ => format!("{}{sign}{prefix}{body}", fill(missing)),
        })
    }

    fn text(&self, value: &str) -> Result<String> {
        let cut: String = match self.precision {
            Some(most) => value.chars().take(most).collect(),
            None => value.to_string(),
        };
        self.padded(cut, false, "", false)
    }

    fn int(&self, value: i128) -> Result<String> {
        let size = value.unsigned_abs();
        let (body, prefix) = match self.kind {
            Some('x') => (format!("{size:x}"), "0x"),
            Some('X') => (format!("{size:X}"), "0X"),
            Some('o') => (format!("{size:o}"), "0o"),
            Some('b') => (format!("{size:b}"), "0b"),
            _ => (size.to_string(), ""),
        };
        let body = match self.precision {
            Some(least) => "0".repeat(least.min(MOST_WIDTH).saturating_sub(body.len())) + &body,
            None => body,
        };
        let body = self.comma.map_or(body.clone(), |comma| grouped(&body, comma));
        self.padded(body, value < 0, if self.alternate { prefix } else { "" }, true)
    }

    fn float(&self, value: f64) -> Result<String> {
        let (size, precision) = (value.abs(), self.precision.unwrap_or(6));
        let lower = self.kind.unwrap_or('g').to_ascii_lowercase();
        let body = if !value.is_finite() {
            if value.is_nan() { "nan".into() } else { "inf".into() }
        } else {
            match lower {
                'f' => format!("{size:.precision$}"),
                '%' => format!("{:.precision$}%", size * 100.0),
                'e' => exponent(&format!("{size:.precision$e}")),
                _ => general(size, precision.max(1), self.alternate),
            }
        };
        let body = if self.kind.is_some_and(char::is_uppercase) { body.to_uppercase() } else { body };
        let body = match (self.comma, body.split_once('.')) {
            (Some(comma), Some((whole, part))) => format!("{}.{part}", grouped(whole, comma)),
            (Some(comma), None) => grouped(&body, comma),
            _ => body,
        };
        self.padded(body, value.is_sign_negative() && !value.is_nan(), "", true)
    }
}

fn grouped(digits: &str, comma: char) -> String {
    let mut out = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(comma);
        }
        out.push(c);
    }
    out
}

/// Rust's exponent as Python's: a sign, two digits.
fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn general(value: f64, precision: usize, keep: bool) -> String {
    let scientific = format!("{value:.0$e}", precision - 1);
    let power: i32 = scientific.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let trim = |text: String| match text.contains('.') && !keep {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    };
    if (-4..precision as i32).contains(&power) {
        return trim(format!("{value:.0$}", (precision as i32 - 1 - power).max(0) as usize));
    }
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    exponent(&format!("{}e{power}", trim(digits.to_string())))
}

/// `format % value`
pub fn percent(format: &str, value: &Value) -> Result<Value> {
    let args: Vec<Value> = match value {
        Value::Seq(Kind::Tuple, all) => all.items.clone(),
        other => vec![other.clone()],
    };
    let mut args = args.into_iter();
    let mut named = false;
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut from_dict = None;
        if chars.peek() == Some(&'(') {
            chars.next();
            let key: String = chars.by_ref().take_while(|c| *c != ')').collect();
            from_dict = Some(value.get(&Value::Str(key.as_str().into())).ok_or_else(|| match value {
                Value::Dict(_) => format!("no key {key:?} to format"),
                _ => "format requires a mapping".to_string(),
            })?);
            named = true;
        }
        let mut spec = Spec::default();
        while let Some(flag) = chars.peek().copied().filter(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => spec.align = Some('<'),
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                '+' => spec.sign = Some('+'),
                _ => spec.sign = spec.sign.or(Some(' ')),
            }
            chars.next();
        }
        let mut number = || {
            let mut value = None;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                value = Some((value.unwrap_or(0usize) * 10 + digit as usize).min(MOST_WIDTH + 1));
                chars.next();
            }
            value
        };
        spec.width = number().unwrap_or(0);
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut value = 0usize;
            while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
                value = (value * 10 + digit as usize).min(MOST_WIDTH + 1);
                chars.next();
            }
            spec.precision = Some(value);
        }
        if spec.width > MOST_WIDTH || spec.precision.is_some_and(|precision| precision > MOST_WIDTH) {
            return Err("a field that is too wide".into());
        }
        let Some(kind) = chars.next() else { return Err("incomplete format".into()) };
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match from_dict {
            Some(value) => value,
            None => args.next().ok_or("not enough arguments for format string")?,
        };
        if spec.align == Some('<') {
            spec.zero = false;
        }
        let wrong = || format!("%{kind} format: a real number is required, not {}", value.kind());
        spec.kind = Some(kind);
        out += &match kind {
            's' => Spec { align: spec.align.or(Some('>')), zero: false, ..spec.clone() }.text(&value.str()?)?,
            'r' | 'a' => Spec { align: spec.align.or(Some('>')), zero: false, ..spec.clone() }.text(&value.repr()?)?,
            'd' | 'i' | 'u' => {
                spec.kind = Some('d');
                let whole = value.as_int().or(value.as_float().filter(|v| v.is_finite()).map(|v| v.trunc() as i128));
                spec.int(whole.ok_or_else(wrong)?)?
            }
            'x' | 'X' | 'o' => spec.int(value.as_int().ok_or_else(wrong)?)?,
            'f' | 'F' | 'e' | 'E' | 'g' | 'G' => {
                if spec.precision.is_some_and(|precision| precision > 1000) {
                    return Err("a precision that is too large".into());
                }
                spec.float(value.as_float().ok_or_else(wrong)?)?
            }
            'c' => match &value {
                Value::Str(c) if c.chars().count() == 1 => spec.text(c)?,
                value => {
                    let c = value.as_int().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                    spec.text(&c.ok_or("%c requires int or char")?.to_string())?
                }
            },
            other => return Err(format!("unsupported format character '{other}'")),
        };
        make(1)?;
    }
    if !named && args.next().is_some() && !matches!(value, Value::Dict(_)) {
        return Err("not all arguments converted during string formatting".into());
    }
    text(out)
}

/// `format.format(…)`
pub fn format(format: &str, given: &Given) -> Result<Value> {
    let (mut out, mut next) = (String::new(), 0);
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.peek() == Some(&c) => {
                chars.next();
                out.push(c);
            }
            '}' => return Err("Single '}' encountered in format string".into()),
            '{' => {
                let (mut field, mut depth) = (String::new(), 1);
                for c in chars.by_ref() {
                    depth = depth + usize::from(c == '{') - usize::from(c == '}');
                    if depth == 0 {
                        break;
                    }
                    field.push(c);
                }
                if depth > 0 {
                    return Err("expected '}' before end of string".into());
                }
                let (name, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
                let spec = match spec.contains('{') {
                    true => self::format_nested(spec, given, &mut next)?,
                    false => spec.to_string(),
                };
                let value = self::field(name, given, &mut next)?;
                let value = match conversion {
                    "" => value,
                    "s" => Value::Str(value.str()?),
                    "r" => text(value.repr()?)?,
                    _ => return Err(format!("Unknown conversion specifier {conversion:?}")),
                };
                out += &one(&value, &spec)?;
            }
            c => out.push(c),
        }
        make(1)?;
    }
    text(out)
}

/// A field within a specification, such as `{:>{width}}`.
fn format_nested(spec: &str, given: &Given, next: &mut usize) -> Result<String> {
    let mut out = String::new();
    let mut rest = spec;
    while let Some(at) = rest.find('{') {
        let end = rest[at..].find('}').ok_or("expected '}' before end of string")? + at;
        out += &rest[..at];
        out += &field(&rest[at + 1..end], given, next)?.str()?;
        rest = &rest[end + 1..];
    }
    Ok(out + rest)
}

fn field(name: &str, given: &Given, next: &mut usize) -> Result<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let by_place = |at: usize| given.positional.get(at).cloned();
    let mut value = match (first.is_empty(), first.parse::<usize>()) {
        (true, _) => {
            *next += 1;
            by_place(*next - 1).ok_or("Replacement index out of range for positional args")?
        }
        (_, Ok(at)) => by_place(at).ok_or("Replacement index out of range for positional args")?,
        _ => given
            .named
            .iter()
            .find(|(there, _)| there == first)
            .map(|(_, value)| value.clone())
            .ok_or_else(|| format!("no argument {first:?}"))?,
    };
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            value = attribute(&value, &after[..end])?;
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[').ok_or("Only '.' or '[' may follow ']' in format field specifier")?;
            let end = after.find(']').ok_or("Missing ']' in format string")?;
            let key = after[..end].parse().map_or_else(|_| Value::Str(after[..end].into()), Value::Int);
            value = item(&value, &key)?.defined()?.clone();
            rest = &after[end + 1..];
        }
    }
    Ok(value)
}

fn one(value: &Value, spec: &str) -> Result<String> {
    if spec.is_empty() {
        return Ok(value.str()?.to_string());
    }
    let all: Vec<char> = spec.chars().collect();
    let (mut at, mut read) = (0, Spec::default());
    let is = |at: usize, set: &str| all.get(at).is_some_and(|c| set.contains(*c));
    if is(1, "<>=^") {
        (read.fill, read.align, at) = (Some(all[0]), Some(all[1]), 2);
    } else if is(0, "<>=^") {
        (read.align, at) = (Some(all[0]), 1);
    }
    if is(at, "+- ") {
        (read.sign, at) = (Some(all[at]), at + 1);
    }
    if is(at, "#") {
        (read.alternate, at) = (true, at + 1);
    }
    if is(at, "0") {
        (read.zero, at) = (true, at + 1);
    }
    while let Some(digit) = all.get(at).and_then(|c| c.to_digit(10)) {
        (read.width, at) = ((read.width * 10 + digit as usize).min(MOST_WIDTH + 1), at + 1);
    }
    if is(at, ",_") {
        (read.comma, at) = (Some(all[at]), at + 1);
    }
    if is(at, ".") {
        let mut precision = 0usize;
        at += 1;
        while let Some(digit) = all.get(at).and_then(|c| c.to_digit(10)) {
            (precision, at) = ((precision * 10 + digit as usize).min(MOST_WIDTH + 1), at + 1);
        }
        read.precision = Some(precision);
    }
    if let Some(kind) = all.get(at) {
        (read.kind, at) = (Some(*kind), at + 1);
    }
    if at != all.len() || read.width > MOST_WIDTH || read.precision.is_some_and(|precision| precision > 1000) {
        return Err(format!("Invalid format specifier {spec:?}"));
    }
    let unknown =
        || Err(format!("Unknown format code {:?} for object of type '{}'", read.kind.unwrap_or(' '), value.kind()));
    match value {
        Value::Str(text) => match read.kind {
            None | Some('s') => {
                // a zero before the width fills texts on the right
                read.fill = read.fill.or(read.zero.then_some('0'));
                read.text(text)
            }
            _ => unknown(),
        },
        Value::Int(_) | Value::Bool(_) => match read.kind {
            None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b') if read.precision.is_some() => {
                Err("Precision not allowed in integer format specifier".into())
            }
            None | Some('d' | 'n' | 'x' | 'X' | 'o' | 'b') => read.int(value.as_int().unwrap_or(0)),
            Some('f' | 'F' | 'e' | 'E' | 'g' | 'G' | '%') => read.float(value.as_float().unwrap_or(0.0)),
            _ => unknown(),
        },
        Value::Float(number) => match (read.kind, read.precision) {
            (None, None) => read.padded(value::float(number.abs()), number.is_sign_negative(), "", true),
            (None | Some('f' | 'F' | 'e' | 'E' | 'g' | 'G' | '%'), _) => read.float(*number),
            _ => unknown(),
        },
        other => Err(format!("unsupported format string passed to {}.__format__", other.kind())),
    }
}
