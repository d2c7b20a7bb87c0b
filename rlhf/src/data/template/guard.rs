//! Text of users never becomes a control token. Names of control tokens in it are broken by a number that nobody can
//! guess before the template sees them; the tokenizer looks for control tokens while the number is there.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::data::json::{Json, Object};
use crate::data::rows::{Conversation, Message};

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

    /// The conversation with every name, also one that overlaps another, broken after its first character: in messages,
    /// in what they say besides, in tools.
    pub fn broken(&self, talk: &Conversation, names: &[&str]) -> Conversation {
        let text = |text: &str| self.broken_text(text, names);
        let broken = |message: &Message| Message {
            text: text(&message.text),
            more: message.more.with_texts(&text),
            ..message.clone()
        };
        let messages = talk.iter().map(broken).collect();
        Conversation { messages, variables: talk.variables.with_texts(&text), place: talk.place.clone() }
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

    /// The conversation with contents that say nothing, to see which control tokens the template itself writes.
    pub fn neutral(talk: &Conversation) -> Conversation {
        let text = |text: &str| if text.trim().is_empty() { text.to_string() } else { "x".to_string() };
        let said = |(name, value): &(String, Json)| match (name.as_str(), value) {
            ("reasoning_content" | "reasoning" | "thinking", Json::String(said)) => {
                (name.clone(), Json::String(text(said)))
            }
            _ => (name.clone(), value.clone()),
        };
        let neutral = |message: &Message| Message {
            text: text(&message.text),
            more: Object(message.more.0.iter().map(said).collect()),
            ..message.clone()
        };
        talk.with(talk.iter().map(neutral).collect())
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
        let say = |text: &str| Message::new(Role::User, text);
        let talk = vec![say("hello"), say(" \n"), say("")];
        assert_eq!(Guard::neutral(&talk.into()).messages, [say("x"), say(" \n"), say("")]);
    }
}
