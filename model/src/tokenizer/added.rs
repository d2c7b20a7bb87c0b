//! Tokens that no merge makes, and where they stand in a text.

/// A token that no merge makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Added {
    pub text: String,
    /// A control token: found in text only when asked for. The others (`<tool_call>`, runs of spaces) always are.
    pub special: bool,
    /// Takes the whitespace before or after it along.
    pub strip: (bool, bool),
    /// Is none where it touches a letter or a digit.
    pub single_word: bool,
}

impl Added {
    pub fn new(text: &str, special: bool) -> Added {
        Added { text: text.to_string(), special, strip: (false, false), single_word: false }
    }
}

/// The added tokens to look for in a text.
pub struct Sought<'a> {
    tokens: Vec<(u32, &'a Added)>,
    /// Bytes that one of them starts with.
    starts: [bool; 256],
}

impl<'a> Sought<'a> {
    pub fn new(tokens: Vec<(u32, &'a Added)>) -> Sought<'a> {
        let mut starts = [false; 256];
        tokens.iter().for_each(|(_, token)| starts[token.text.as_bytes()[0] as usize] = true);
        Sought { tokens, starts }
    }

    /// The first of them in `text`; the longest of those that start at the same place.
    pub fn first_in(&self, text: &str) -> Option<(usize, u32, &'a Added)> {
        if self.tokens.is_empty() {
            return None;
        }
        let places = text.bytes().enumerate().filter(|&(_, byte)| self.starts[byte as usize]);
        places.into_iter().find_map(|(at, _)| {
            let is_here = |token: &Added| {
                text.as_bytes()[at..].starts_with(token.text.as_bytes())
                    && (!token.single_word || stands_alone(text, at, at + token.text.len()))
            };
            let here = self.tokens.iter().filter(|(_, token)| is_here(token));
            here.max_by_key(|(_, token)| token.text.len()).map(|&(id, token)| (at, id, token))
        })
    }
}

/// Does this part of a text touch no letter or digit?
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].ends_with(in_word) && !text[end..].starts_with(in_word)
}
