//! Text of users never becomes a control token. Names of control tokens in it are broken by a number that nobody can
//! guess before the template sees them; the tokenizer looks for control tokens while the number is there.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::data::rows::Message;

pub struct Guard {
    /// 39 digits: no filter of a template changes digits.
    pub nonce: String,
    /// What stands in a broken name.
    pub mark: String,
}

impl Guard {
    /// What is drawn here is gone from the tokens, so results do not depend on it.
    pub fn new() -> Guard {
        let half = || RandomState::new().build_hasher().finish() as u128;
        let nonce = format!("{:039}", half() << 64 | half());
        Guard { mark: format!("{nonce}="), nonce }
    }

    /// The messages with every name, also one that overlaps another, broken after its first character.
    pub fn broken(&self, messages: &[Message], names: &[&str]) -> Vec<Message> {
        let broken = |message: &Message| Message { text: self.broken_text(&message.text, names), ..message.clone() };
        messages.iter().map(broken).collect()
    }

    fn broken_text(&self, text: &str, names: &[&str]) -> String {
        let mut firsts: Vec<char> = names.iter().filter_map(|name| name.chars().next()).collect();
        firsts.dedup();
        let mut out = String::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            out.push(c);
            if firsts.contains(&c) && names.iter().any(|name| text[at..].starts_with(name)) {
                out += &self.mark;
            }
        }
        out
    }

    /// The messages with contents that say nothing, to see which control tokens the template itself writes.
    pub fn neutral(messages: &[Message]) -> Vec<Message> {
        let text = |text: &str| if text.trim().is_empty() { text.to_string() } else { "x".to_string() };
        messages.iter().map(|message| Message { text: text(&message.text), ..message.clone() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Role;

    #[test]
    fn names_are_broken_wherever_they_begin() {
        let guard = Guard { nonce: "7".into(), mark: "7=".into() };
        let broken = |text: &str| guard.broken_text(text, &["<a>", "<a><", "<<a>>"]);
        assert_eq!(broken("x<a>y"), "x<7=a>y");
        assert_eq!(broken("<a<a>>"), "<a<7=a>>");
        assert_eq!(broken("<<a>><a>"), "<7=<7=a>><7=a>");
        assert_eq!(broken("é<b>"), "é<b>");
        assert_ne!(Guard::new().nonce, Guard::new().nonce);
        assert_eq!(Guard::new().nonce.len(), 39);
    }

    #[test]
    fn neutral_contents_keep_what_is_empty() {
        let say = |text: &str| Message { role: Role::User, text: text.into() };
        assert_eq!(Guard::neutral(&[say("hello"), say(" \n"), say("")]), [say("x"), say(" \n"), say("")]);
    }
}
