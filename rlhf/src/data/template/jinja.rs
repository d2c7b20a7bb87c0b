//! Jinja as Hugging Face sets it up for chat templates: its whitespace, its functions, and the `generation` tag that
//! says what the assistant wrote. A template is a program of strangers: it gets fuel, and room, for so much.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, State, syntax::SyntaxConfig};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Instructions that one rendering may take, and the bytes that it may write.
const FUEL: u64 = 5_000_000;
const MOST_BYTES: usize = 64 << 20;
const NAME: &str = "chat_template";
/// The variable with what stands before `<` and `>` around text of the assistant.
pub const NONCE: &str = "rlhf_generation_nonce";

#[derive(Clone)]
pub struct Jinja {
    environment: Environment<'static>,
    /// Has it the `generation` tag?
    pub marks_answers: bool,
}

impl Jinja {
    pub fn new(source: &str) -> Result<Jinja, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| error.to_string())?);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", to_json);
        environment.add_filter("generation", generation);
        environment.add_function("raise_exception", raise_exception);
        let now = now();
        environment.add_function("strftime_now", move |format: String| strftime(&format, now));
        let (source, marks_answers) = with_filters(source);
        environment.add_template_owned(NAME, source).map_err(|error| described(&error))?;
        Ok(Jinja { environment, marks_answers })
    }

    pub fn render(&self, context: Value) -> Result<String, String> {
        let template = self.environment.get_template(NAME).expect("added when this was made");
        let text = template.render(context).map_err(|error| described(&error))?;
        match text.len() <= MOST_BYTES {
            true => Ok(text),
            false => Err(format!("it writes more than {MOST_BYTES} bytes")),
        }
    }
}

/// An error and where in the template it is, on one line.
fn described(error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!(" (line {line} of the template)"));
    format!("{}{line}", error.detail().map_or_else(|| error.kind().to_string(), str::to_string))
}

/// `{% generation %} … {% endgeneration %}` as a filter of ours around the same text: the same blocks to Jinja, so the
/// same whitespace. And whether there is one.
fn with_filters(source: &str) -> (String, bool) {
    let (mut out, mut rest, mut found) = (String::new(), source, false);
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        let end = if rest[at..].starts_with("{#") { "#}" } else { "%}" };
        let length = rest[at..].find(end).map_or(rest.len() - at, |length| length + end.len());
        let tag = &rest[at..at + length];
        out += &rest[..at];
        match tag.trim_matches(|c: char| c.is_whitespace() || "{%}-+".contains(c)) {
            "generation" => {
                out += &tag.replace("generation", "filter generation");
                found = true;
            }
            "endgeneration" => out += &tag.replace("endgeneration", "endfilter"),
            _ => out += tag,
        }
        rest = &rest[at + length..];
    }
    (out + rest, found)
}

fn generation(state: &State, text: String) -> String {
    let nonce = state.lookup(NONCE).map_or(String::new(), |nonce| nonce.to_string());
    format!("{nonce}<{text}{nonce}>")
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("it says: {message}")))
}

/// Python's `json.dumps(value, ensure_ascii=False)`: no HTML is escaped, keys keep their order.
fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let ascii: Option<bool> = options.get("ensure_ascii")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sorted: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let value = match sorted {
        Some(true) => Value::from(Serde(serde_json::to_value(&value).map_err(failed)?)),
        _ => value,
    };
    let mut out = vec![];
    match indent {
        Some(indent) => {
            let indent = " ".repeat(indent.min(16));
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter)).map_err(failed)?;
        }
        None => {
            let [comma, colon] =
                separators.and_then(|list| list.try_into().ok()).unwrap_or([", ", ": "].map(String::from));
            value.serialize(&mut Serializer::with_formatter(&mut out, Python { comma, colon })).map_err(failed)?;
        }
    }
    let text = String::from_utf8(out).expect("JSON is UTF-8");
    Ok(if ascii == Some(true) { escaped(&text) } else { text })
}

/// Python's separators.
struct Python {
    comma: String,
    colon: String,
}

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.comma.as_bytes()) }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.comma.as_bytes()) }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(self.colon.as_bytes())
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => out.push(byte as char),
            _ => out += &format!("\\u{unit:04x}"),
        }
    }
    out
}

/// Seconds since 1970; `SOURCE_DATE_EPOCH` fixes them, for runs that shall come out the same on any day.
fn now() -> u64 {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    fixed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs()))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];

/// The usual letters of `strftime`, in UTC.
fn strftime(format: &str, seconds: u64) -> String {
    let (days, time) = ((seconds / 86_400) as usize, seconds % 86_400);
    let (year, month, day, day_of_year) = date(days);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        out += &match letters.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{:02}", month + 1),
            Some('d') => format!("{day:02}"),
            Some('e') => format!("{day:2}"),
            Some('j') => format!("{:03}", day_of_year + 1),
            Some('B') => MONTHS[month].to_string(),
            Some('b') => MONTHS[month][..3].to_string(),
            Some('A') => DAYS[days % 7].to_string(),
            Some('a') => DAYS[days % 7][..3].to_string(),
            Some('H') => format!("{hour:02}"),
            Some('I') => format!("{:02}", (hour + 11) % 12 + 1),
            Some('M') => format!("{minute:02}"),
            Some('S') => format!("{second:02}"),
            Some('p') => if hour < 12 { "AM" } else { "PM" }.to_string(),
            Some('%') => "%".to_string(),
            Some(other) => format!("%{other}"),
            None => "%".to_string(),
        };
    }
    out
}

/// Year, month from 0, day from 1, and day of the year from 0.
fn date(mut days: usize) -> (usize, usize, usize, usize) {
    let is_leap = |year: usize| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    while days >= 365 + is_leap(year) as usize {
        days -= 365 + is_leap(year) as usize;
        year += 1;
    }
    let (day_of_year, mut month) = (days, 0);
    let lengths = [31, 28 + is_leap(year) as usize, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month, days + 1, day_of_year)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn render(source: &str) -> Result<String, String> {
        Jinja::new(source)?.render(context! { rlhf_generation_nonce => "N", x => vec!["a<b", "é\n"], m => 3 })
    }

    #[test]
    fn whitespace_is_as_hugging_face_has_it() {
        assert_eq!(render("  {% if true %}\n  a\n  {% endif %}\nb\n").unwrap(), "  a\nb");
        assert_eq!(render("a\n  {% generation %}\n  b\n  {%- endgeneration -%}  c").unwrap(), "a\nN<  bN>c");
    }

    #[test]
    fn the_generation_tag_is_found_where_it_is_one() {
        let marks = |source: &str| Jinja::new(source).unwrap().marks_answers;
        assert!(marks("{%- generation -%}a{% endgeneration %}"));
        assert!(!marks("{# with {% generation %} tags #}generation {{ 'generation' }}"));
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        assert_eq!(render("{{ x | tojson }}").unwrap(), r#"["a<b", "é\n"]"#);
        assert_eq!(render("{{ x | tojson(ensure_ascii=true) }}").unwrap(), r#"["a<b", "\u00e9\n"]"#);
        assert_eq!(render("{{ {'b': 1, 'a': {}} | tojson }}").unwrap(), r#"{"b": 1, "a": {}}"#);
        assert_eq!(
            render("{{ {'b': 1, 'a': []} | tojson(sort_keys=true, separators=[',', ':']) }}").unwrap(),
            r#"{"a":[],"b":1}"#
        );
        assert_eq!(render("{{ {'b': 1} | tojson(indent=2) }}").unwrap(), "{\n  \"b\": 1\n}");
    }

    #[test]
    fn dates() {
        let all = "%d %b %Y|%A %a %j|%H:%M:%S %I%p|%y-%m-%e|%%%q";
        assert_eq!(strftime(all, 1_709_251_199), "29 Feb 2024|Thursday Thu 060|23:59:59 11PM|24-02-29|%%q");
        assert_eq!(strftime("%d %B %Y %I %p", 0), "01 January 1970 12 AM");
        assert_eq!(strftime("%d %b %Y", 4_102_444_800), "01 Jan 2100");
    }

    #[test]
    fn programs_of_strangers_are_bounded() {
        assert!(render("{{ raise_exception('no system') }}").unwrap_err().contains("it says: no system"));
        assert!(render("{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}").is_err());
        assert!(render("{% include 'other' %}").is_err());
        assert!(render("{% if %}").unwrap_err().contains("line 1"));
    }
}
