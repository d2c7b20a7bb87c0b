//! Text of strangers as a terminal may have it.

/// Control characters and those that turn the direction of text are shown, not sent: a model, a file or a row could
/// move the cursor, set a title, or hide what it says. Line breaks and tabs stay.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\n' | '\t' => out.push(c),
            c if c.is_control() || turns => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(printable("é 模\n\t\u{1b}[2J\u{7}\r"), "é 模\n\t\\u{1b}[2J\\u{7}\\u{d}");
        assert_eq!(printable("\u{9b}31m\u{7f}\u{202e}"), "\\u{9b}31m\\u{7f}\\u{202e}");
    }
}
