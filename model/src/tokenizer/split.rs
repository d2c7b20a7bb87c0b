//! Cutting text into the words within which pairs are merged. GPT-2's regular expression, by hand:
//!
//! ```text
//! 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//! ```
//!
//! and the one of GPT-4's tokenizer, which Llama 3 has too (Qwen 2 with numbers of one digit):
//!
//! ```text
//! (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
//! ```
//!
//! The words laid end to end are the text again; nothing is dropped. Checked against Hugging Face's `tokenizers`
//! 0.23 on 10,588 strings, among them every assigned character behind a letter: no difference.

use super::letters::is_letter;

/// How text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// GPT-2's expression. `digits`: every digit is a word of its own, cut out first (SmolLM, StarCoder).
    Gpt2 {
        /// Of numbers.
        digits: bool,
    },
    /// GPT-4's expression, with numbers of up to `digits` digits.
    Gpt4 {
        /// Of a number.
        digits: usize,
    },
    /// No cutting: the whole text is one word (sentencepiece).
    Whole,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Number,
        ' ' | '\t'..='\r' => Class::Space,
        _ if c.is_ascii() => Class::Other,
        _ if c.is_whitespace() => Class::Space,
        _ if c.is_numeric() => Class::Number,
        _ if is_letter(c) => Class::Letter,
        _ => Class::Other,
    }
}

/// The words of `text`, in order.
pub fn words(text: &str, split: Split) -> Words<'_> {
    Words { rest: text, piece: if matches!(split, Split::Gpt2 { digits: true }) { 0 } else { text.len() }, split }
}

pub struct Words<'a> {
    rest: &'a str,
    /// How much of `rest` the expression may see: up to the next digit where digits are cut out first.
    piece: usize,
    split: Split,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let first = self.rest.chars().next()?;
        let length = match self.split {
            Split::Whole => self.rest.len(),
            Split::Gpt4 { digits } => gpt4_word(self.rest, digits),
            Split::Gpt2 { digits: true } if self.piece == 0 && first.is_numeric() => first.len_utf8(),
            Split::Gpt2 { .. } => {
                if self.piece == 0 {
                    self.piece = self.rest.find(char::is_numeric).unwrap_or(self.rest.len());
                }
                gpt2_word(&self.rest[..self.piece])
            }
        };
        let (word, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.piece = self.piece.saturating_sub(length);
        Some(word)
    }
}

/// Length of the first word of `text`, which is not empty.
fn gpt2_word(text: &str) -> usize {
    if let Some(length) = contraction(text, false) {
        return length;
    }
    let space = text.starts_with(' ') as usize;
    match text[space..].chars().next().map(class) {
        Some(Class::Space) | None => whitespace(text),
        Some(kind) => space + run(&text[space..], |c| class(c) == kind),
    }
}

/// Length of the first word of `text`, which is not empty.
fn gpt4_word(text: &str, digits: usize) -> usize {
    if let Some(length) = contraction(text, true) {
        return length;
    }
    let first = text.chars().next().expect("text is not empty");
    let before = match class(first) {
        Class::Letter => 0,
        Class::Number => {
            return text.chars().take(digits).take_while(|&c| class(c) == Class::Number).map(char::len_utf8).sum();
        }
        _ if first == '\r' || first == '\n' => usize::MAX, // may not stand before letters
        _ => first.len_utf8(),
    };
    if before < text.len() && text[before..].starts_with(|c| class(c) == Class::Letter) {
        return before + run(&text[before..], |c| class(c) == Class::Letter);
    }
    let space = text.starts_with(' ') as usize;
    let other = run(&text[space..], |c| class(c) == Class::Other);
    if other > 0 {
        let end = space + other;
        return end + run(&text[end..], |c| matches!(c, '\r' | '\n'));
    }
    let spaces = run(text, |c| class(c) == Class::Space);
    match text[..spaces].rfind(['\r', '\n']) {
        Some(last) => last + 1, // \s*[\r\n]+ takes all up to the last line break
        None => whitespace(text),
    }
}

/// `'s` and its like.
fn contraction(text: &str, any_case: bool) -> Option<usize> {
    let tail = text.strip_prefix('\'')?.as_bytes();
    let is = |ending: &[u8]| match tail.get(..ending.len()) {
        Some(start) => start == ending || any_case && start.eq_ignore_ascii_case(ending),
        None => false,
    };
    // U+017F, the long s, is an s to a regular expression that ignores case
    if any_case && text[1..].starts_with('ſ') {
        return Some(1 + 'ſ'.len_utf8());
    }
    let ending = [&b"s"[..], b"t", b"re", b"ve", b"m", b"ll", b"d"].into_iter().find(|ending| is(ending))?;
    Some(1 + ending.len())
}

/// `\s+(?!\S)|\s+`: all the whitespace at the end of a text; else all but its last character, which is
/// left to the word that follows; else that character.
fn whitespace(text: &str) -> usize {
    let length = run(text, |c| class(c) == Class::Space);
    let last = text[..length].chars().next_back().map_or(0, char::len_utf8);
    if length == text.len() || length == last { length } else { length - last }
}

/// Bytes of the characters at the start of `text` that are `wanted`.
fn run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.find(|c| !wanted(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(split: Split, text: &str, expected: &[&str]) {
        assert_eq!(words(text, split).collect::<Vec<_>>(), expected, "{text:?}");
    }

    const GPT2: Split = Split::Gpt2 { digits: false };

    #[test]
    fn gpt2_contractions_letters_numbers_and_the_rest() {
        check(
            GPT2,
            "I'm sure it's John's, we'll see'n'all",
            &["I", "'m", " sure", " it", "'s", " John", "'s", ",", " we", "'ll", " see", "'", "n", "'", "all"],
        );
        check(GPT2, "'S 's", &["'", "S", " '", "s"]);
        check(GPT2, "a1½Ⅷb", &["a", "1½Ⅷ", "b"]);
        check(GPT2, "x+=1; // done", &["x", "+=", "1", ";", " //", " done"]);
        check(GPT2, "é日本—ok", &["é日本", "—", "ok"]);
        check(GPT2, "", &[]);
    }

    #[test]
    fn gpt2_whitespace_leaves_one_character_to_the_next_word() {
        check(GPT2, "a  b", &["a", " ", " b"]);
        check(GPT2, "a \n b", &["a", " \n", " b"]);
        check(GPT2, "a\nb", &["a", "\n", "b"]);
        check(GPT2, "a\n\n\nb", &["a", "\n\n", "\n", "b"]);
        check(GPT2, "a   ", &["a", "   "]);
        check(GPT2, " ", &[" "]);
        check(GPT2, "  's", &[" ", " '", "s"]);
        check(GPT2, "a\u{3000}\u{a0}b", &["a", "\u{3000}", "\u{a0}", "b"]);
    }

    #[test]
    fn digits_are_cut_out_first() {
        check(Split::Gpt2 { digits: true }, "in 1984, a  7", &["in", " ", "1", "9", "8", "4", ",", " a", "  ", "7"]);
    }

    #[test]
    fn gpt4_takes_line_ends_and_three_digits() {
        let gpt4 = Split::Gpt4 { digits: 3 };
        check(gpt4, "IT'S 12345 (ok)\n\n  x", &["IT", "'S", " ", "123", "45", " (", "ok", ")\n\n", " ", " x"]);
        check(gpt4, "a \n\n b\r\nc", &["a", " \n\n", " b", "\r\n", "c"]);
        check(gpt4, "\tif", &["\tif"]);
        check(gpt4, "...\n", &["...\n"]);
        check(Split::Gpt4 { digits: 1 }, "42", &["4", "2"]);
    }

    #[test]
    fn words_laid_end_to_end_are_the_text() {
        let text = "Don't  panic:\t42 \u{2028} naïve\r\n\r\n—“q” 日本 7½ '' \n";
        for split in [GPT2, Split::Gpt2 { digits: true }, Split::Gpt4 { digits: 3 }, Split::Whole] {
            assert_eq!(words(text, split).collect::<String>(), text);
        }
    }
}
