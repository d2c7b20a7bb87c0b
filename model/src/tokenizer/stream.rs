//! Text from ids that arrive one at a time.

use super::{Prefix, Tokenizer};

/// Gives out text as soon as it is whole characters: a token may end in the middle of one.
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    held: Vec<u8>,
    at_start: bool,
}

impl Tokenizer {
    /// For printing what a model writes while it writes. `at_start`: these ids start a text, rather than
    /// continue one (sentencepiece's first space is then dropped, as in [`Tokenizer::decode`]).
    pub fn stream(&self, at_start: bool) -> TextStream<'_> {
        TextStream { tokenizer: self, held: vec![], at_start }
    }
}

impl TextStream<'_> {
    /// The text that `id` completes; special tokens give none.
    pub fn push(&mut self, id: u32) -> String {
        if self.tokenizer.is_special(id) {
            return String::new();
        }
        let piece = self.tokenizer.piece(id);
        let dropped =
            std::mem::take(&mut self.at_start) && self.tokenizer.prefix != Prefix::Never && piece.starts_with(b" ");
        self.held.extend_from_slice(&piece[dropped as usize..]);
        let whole = match std::str::from_utf8(&self.held) {
            Ok(_) => self.held.len(),
            // a character that has begun and may still end
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.held.len() - unfinished(&self.held),
        };
        let rest = self.held.split_off(whole);
        let text = String::from_utf8_lossy(&self.held).into_owned();
        self.held = rest;
        text
    }

    /// What is left when no more ids come.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// How many bytes at the end are the start of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let last = bytes.utf8_chunks().last();
    last.map_or(0, |chunk| match std::str::from_utf8(chunk.invalid()) {
        Err(error) if error.error_len().is_none() => chunk.invalid().len(),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_given_whole() {
        let tokenizer = Tokenizer::train(["x"], 257, &["<|endoftext|>"]);
        let bytes = [b"a\xff".as_slice(), "é🙂".as_bytes(), b"\xf0\x9f"].concat();
        let mut stream = tokenizer.stream(true);
        let mut parts: Vec<String> = tokenizer.encode_bytes(&bytes).into_iter().map(|id| stream.push(id)).collect();
        parts.push(stream.push(tokenizer.eos()));
        assert_eq!(parts, ["a", "\u{fffd}", "", "é", "", "", "", "🙂", "", "", ""]);
        assert_eq!(stream.finish(), "\u{fffd}");
    }
}
