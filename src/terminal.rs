//! What a terminal is given: no control sequences but our own, and no line that is wider than it.

use rlhf_core::printable;
use std::borrow::Cow;
use std::io::{IsTerminal, stderr, stdout};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text of models, files and rows on its way to stdout: as it is into a file or a pipe, and with its control characters
/// shown on a terminal, which would obey them.
pub fn to_stdout(text: &str) -> Cow<'_, str> {
    shown(text, stdout().is_terminal())
}

/// A JSON value on its way to stdout. What JSON may leave as it is and a terminal obeys is escaped there.
pub fn json_to_stdout(value: &serde_json::Value) -> String {
    let text = value.to_string();
    if stdout().is_terminal() { escaped(&text) } else { text }
}

fn escaped(json: &str) -> String {
    let escape = |c: char| match printable(c.encode_utf8(&mut [0; 4])).chars().nth(1) {
        Some(_) => format!("\\u{:04x}", u32::from(c)), // all of them have four digits
        None => c.to_string(),
    };
    json.chars().map(escape).collect()
}

/// The same on its way to stderr.
pub fn to_stderr(text: &str) -> Cow<'_, str> {
    shown(text, stderr().is_terminal())
}

fn shown(text: &str, terminal: bool) -> Cow<'_, str> {
    if terminal { Cow::Owned(printable(text)) } else { Cow::Borrowed(text) }
}

/// How many columns the terminal at stderr has now; 80 where it does not say.
pub fn columns() -> usize {
    let size = terminal_size::terminal_size_of(stderr());
    size.map(|(terminal_size::Width(columns), _)| columns as usize).filter(|&columns| columns > 0).unwrap_or(80)
}

/// How many columns a text takes: two for each of the wide characters of East Asia, none for accents.
pub fn width(text: &str) -> usize {
    text.width()
}

/// As much of a text's beginning as so many columns hold.
pub fn fit(text: &str, columns: usize) -> &str {
    let mut taken = 0;
    let over = |&(_, c): &(usize, char)| {
        taken += c.width().unwrap_or(0);
        taken > columns
    };
    text.char_indices().find(over).map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        let evil = "a\x1b]0;title\x07b\n\u{9b}2Jc\r";
        assert_eq!(shown(evil, false), evil);
        assert_eq!(shown(evil, true), "a\\u{1b}]0;title\\u{7}b\n\\u{9b}2Jc\\u{d}");
    }

    #[test]
    fn json_stays_json() {
        let value = serde_json::json!({"text": "é\n\u{9b}2J\u{7f}\u{202e}"});
        let text = escaped(&value.to_string());
        assert!(text.contains(r"é\n\u009b2J\u007f\u202e"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("模型"), width("e\u{301}"), fit("模型", 3), fit("模型", 4)), (4, 1, "模", "模型"));
        assert_eq!((fit("abc", 0), fit("", 3), fit("abc", 9)), ("", "", "abc"));
    }
}
