//! One row of data, whatever file it came from.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::Rng;

use super::error::DataError;
use super::formats;
use super::json::Object;

/// Who said what. The roles of Hugging Face's message lists; others are refused when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// instructions of whoever runs the model
    System,
    /// the same, by a newer name
    Developer,
    /// the one who asks
    User,
    /// the model
    Assistant,
    /// what a tool gave back
    Tool,
    /// the same, by an older name
    Function,
    /// the same, by Llama's name
    Ipython,
}

impl Role {
    /// As templates know it.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::Developer => "developer",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
            Role::Function => "function",
            Role::Ipython => "ipython",
        }
    }
}

/// One turn of a conversation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
    /// Has it a content? A call of a tool may have none.
    pub has_text: bool,
    /// What else the template is given: `tool_calls`, `reasoning_content`, `name`, …
    pub more: Object,
    /// Is it trained, where it is the assistant's?
    pub trained: bool,
}

impl Message {
    /// A message that is nothing but text, and trained where it is the assistant's.
    pub fn new(role: Role, text: impl Into<String>) -> Message {
        Message { role, text: text.into(), has_text: true, more: Object::default(), trained: true }
    }
}

/// What is usual is left out.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        shown.field("role", &self.role).field("text", &self.text);
        if !self.more.0.is_empty() {
            shown.field("more", &self.more);
        }
        shown.finish()
    }
}

/// Where a row was read: the file, and its line. No part of what the row says.
#[derive(Clone, Default)]
pub struct Place(Option<Arc<(PathBuf, usize)>>);

impl Place {
    /// Line `line` of the file, from 1.
    pub fn new(path: &Path, line: usize) -> Place {
        Place(Some(Arc::new((path.to_path_buf(), line))))
    }

    /// `file:line`
    pub fn name(&self) -> Option<String> {
        self.0.as_ref().map(|place| format!("{}:{}", place.0.display(), place.1))
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Place) -> bool {
        true
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Messages, and what the template is told besides.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// What is said, in order.
    pub messages: Vec<Message>,
    /// `tools`, `documents` and whatever else the row tells the template.
    pub variables: Object,
    /// Where it was read.
    pub place: Place,
}

impl Conversation {
    /// Other messages with the same variables, from the same place.
    pub fn with(&self, messages: Vec<Message>) -> Conversation {
        Conversation { messages, ..self.clone() }
    }
}

impl From<Vec<Message>> for Conversation {
    fn from(messages: Vec<Message>) -> Conversation {
        Conversation { messages, ..Conversation::default() }
    }
}

impl Deref for Conversation {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.messages
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.messages.fmt(f)
    }
}

/// A prompt or a completion: a string, to be used as it is, or messages, to be written by a [`super::Template`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// A string, as it is.
    Text(String),
    /// Turns, which the template writes.
    Messages(Conversation),
}

impl From<&str> for Content {
    fn from(text: &str) -> Content {
        Content::Text(text.to_string())
    }
}

impl From<Vec<Message>> for Content {
    fn from(messages: Vec<Message>) -> Content {
        Content::Messages(messages.into())
    }
}

impl Content {
    /// Is nothing said?
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Messages(talk) => talk.iter().all(|message| message.text.is_empty() && message.more.0.is_empty()),
        }
    }

    /// A string as what `role` says.
    pub fn said_by(self, role: Role) -> Content {
        match self {
            Content::Text(text) => vec![Message::new(role, text)].into(),
            messages => messages,
        }
    }
}

/// What a row says.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // the fields are what their types are
pub enum Row {
    /// Text to learn to continue.
    Text(String),
    /// A conversation; what the assistant says in it are demonstrations.
    Messages(Conversation),
    /// Something to be answered.
    Prompt(Content),
    /// A prompt and how to answer it.
    Demonstration { prompt: Content, completion: Content },
    /// An answer that someone found good, or not.
    Labelled { prompt: Content, completion: Content, good: bool },
    /// K answers to one prompt; lower ranks are better, ties allowed. A preference is K = 2.
    Ranked { prompt: Content, completions: Vec<Content>, ranks: Vec<f32> },
}

impl Row {
    /// What it is, in a word or two.
    pub fn kind(&self) -> &'static str {
        match self {
            Row::Text(_) => "text",
            Row::Messages(_) => "messages",
            Row::Prompt(_) => "prompt",
            Row::Demonstration { .. } => "demonstration",
            Row::Labelled { .. } => "labelled completion",
            Row::Ranked { .. } => "ranking",
        }
    }

    /// Does it have answers that can be shown as demonstrations, rankings, …?
    pub fn gives(&self) -> &'static str {
        match self {
            Row::Text(_) => "texts",
            Row::Prompt(_) => "prompts",
            Row::Ranked { .. } => "rankings",
            Row::Messages(_) | Row::Demonstration { .. } | Row::Labelled { .. } => "demonstrations",
        }
    }

    /// The conversation that the row begins with.
    pub fn conversation_mut(&mut self) -> Option<&mut Conversation> {
        match self {
            Row::Messages(talk)
            | Row::Prompt(Content::Messages(talk))
            | Row::Demonstration { prompt: Content::Messages(talk), .. }
            | Row::Labelled { prompt: Content::Messages(talk), .. }
            | Row::Ranked { prompt: Content::Messages(talk), .. } => Some(talk),
            _ => None,
        }
    }

    /// Strings as turns: the prompt is the user's, what answers it the assistant's. Texts stay texts.
    pub fn in_turns(self) -> Row {
        let (user, assistant) = (|c: Content| c.said_by(Role::User), |c: Content| c.said_by(Role::Assistant));
        match self {
            Row::Prompt(prompt) => Row::Prompt(user(prompt)),
            Row::Demonstration { prompt, completion } => {
                Row::Demonstration { prompt: user(prompt), completion: assistant(completion) }
            }
            Row::Labelled { prompt, completion, good } => {
                Row::Labelled { prompt: user(prompt), completion: assistant(completion), good }
            }
            Row::Ranked { prompt, completions, ranks } => Row::Ranked {
                prompt: user(prompt),
                completions: completions.into_iter().map(assistant).collect(),
                ranks,
            },
            row => row,
        }
    }

    /// Is it a string and what follows it, in no one's turn?
    pub fn is_bare(&self) -> bool {
        match self {
            Row::Prompt(prompt)
            | Row::Demonstration { prompt, .. }
            | Row::Labelled { prompt, .. }
            | Row::Ranked { prompt, .. } => matches!(prompt, Content::Text(_)),
            Row::Text(_) | Row::Messages(_) => false,
        }
    }

    /// All that the row says, to look for something in it.
    pub fn all_text(&self) -> String {
        let of = |content: &Content| match content {
            Content::Text(text) => text.clone(),
            Content::Messages(messages) => of_messages(messages),
        };
        fn of_messages(messages: &Conversation) -> String {
            let mut all = String::new();
            messages.variables.0.iter().for_each(|(_, value)| value.texts(&mut all));
            for message in messages.iter() {
                all += &format!("{}\n", message.text);
                message.more.0.iter().for_each(|(_, value)| value.texts(&mut all));
            }
            all
        }
        match self {
            Row::Text(text) => text.clone(),
            Row::Messages(messages) => of_messages(messages),
            Row::Prompt(prompt) => of(prompt),
            Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
                of(prompt) + "\n" + &of(completion)
            }
            Row::Ranked { prompt, completions, .. } => {
                std::iter::once(prompt).chain(completions).map(of).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// What the row is about: rows about the same belong on the same side of a split.
    fn subject(&self) -> String {
        let of_prompt = |prompt: &Content, other: Option<&Content>| match prompt.is_empty() {
            false => format!("{prompt:?}"),
            true => format!("{other:?}"), // summaries, say, whose articles are not there
        };
        match self {
            Row::Text(text) => text.clone(),
            Row::Prompt(prompt) => of_prompt(prompt, None),
            Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
                of_prompt(prompt, Some(completion))
            }
            Row::Ranked { prompt, completions, .. } => of_prompt(prompt, completions.first()),
            Row::Messages(messages) => {
                let first_answer = messages.iter().position(|m| m.role == Role::Assistant).unwrap_or(messages.len());
                format!("{:?}", Content::from(messages[..first_answer].to_vec()))
            }
        }
    }
}

/// Splits rows into those to train on and those to hold out, about `held_out` (0 to 1) of the prompts. All rows
/// of one prompt go to the same side, and which side depends on the prompt and the seed alone: not on the other
/// rows, nor on their order.
pub fn split(rows: Vec<Row>, held_out: f32, rng: Rng) -> (Vec<Row>, Vec<Row>) {
    let rng = rng.stream("held out");
    rows.into_iter().partition(|row| rng.stream(&row.subject()).unit_at(0) >= held_out)
}

/// Prompt and answer of every demonstration in the rows. A conversation gives one for each thing the assistant
/// says; a labelled completion counts if it is good.
pub fn demonstrations(rows: &[Row]) -> Result<Vec<(Content, Content)>, DataError> {
    let found = rows.iter().flat_map(|row| match row {
        Row::Messages(messages) => turns(messages),
        Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, good: true } => {
            vec![(prompt.clone(), completion.clone())]
        }
        _ => vec![],
    });
    wanted("demonstrations", rows, found.collect())
}

/// Every answer of the assistant with all that was said before it.
fn turns(messages: &Conversation) -> Vec<(Content, Content)> {
    let answers = messages.iter().enumerate().filter(|(_, message)| message.role == Role::Assistant && message.trained);
    let turn = |(at, answer): (usize, &Message)| {
        (Content::Messages(messages.with(messages[..at].to_vec())), vec![answer.clone()].into())
    };
    answers.map(turn).collect()
}

/// A conversation without the answer at its end.
fn question(messages: &Conversation) -> Content {
    let answered = messages.last().is_some_and(|message| message.role == Role::Assistant);
    Content::Messages(messages.with(messages[..messages.len() - answered as usize].to_vec()))
}

/// The prompts of all rows that have one, each once, in the order of their first row.
pub fn prompts(rows: &[Row]) -> Result<Vec<Content>, DataError> {
    let mut seen = std::collections::HashSet::new();
    let found = rows.iter().filter_map(|row| match row {
        Row::Text(_) => None,
        Row::Messages(messages) => Some(question(messages)),
        Row::Prompt(prompt)
        | Row::Demonstration { prompt, .. }
        | Row::Labelled { prompt, .. }
        | Row::Ranked { prompt, .. } => Some(prompt.clone()),
    });
    let found = found.filter(|prompt| !prompt.is_empty() && seen.insert(prompt.clone())).collect();
    wanted("prompts", rows, found)
}

/// Prompt, answers and their ranks.
pub type Ranked<'a> = (&'a Content, &'a [Content], &'a [f32]);

/// Every ranking in the rows.
pub fn rankings(rows: &[Row]) -> Result<Vec<Ranked<'_>>, DataError> {
    let found = rows.iter().filter_map(|row| match row {
        Row::Ranked { prompt, completions, ranks } => Some((prompt, &completions[..], &ranks[..])),
        _ => None,
    });
    wanted("rankings", rows, found.collect())
}

/// The texts to pretrain on.
pub fn texts(rows: &[Row]) -> Result<Vec<&str>, DataError> {
    let found = rows.iter().filter_map(|row| match row {
        Row::Text(text) => Some(text.as_str()),
        _ => None,
    });
    wanted("texts", rows, found.collect())
}

/// What was found in the rows, or an error that says which rows have it.
pub fn wanted<T>(wanted: &'static str, rows: &[Row], found: Vec<T>) -> Result<Vec<T>, DataError> {
    if !found.is_empty() {
        return Ok(found);
    }
    let kinds: std::collections::BTreeSet<&str> = rows.iter().map(Row::kind).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    Err(DataError::Kind { wanted, rows: rows.len(), found: kinds, expected: formats::expected(Some(wanted)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(role: Role, text: &str) -> Message {
        Message::new(role, text)
    }

    #[test]
    fn a_conversation_is_a_demonstration_for_every_answer() {
        use Role::*;
        let messages = vec![said(User, "a"), said(Assistant, "b"), said(User, "c"), said(Assistant, "d")];
        let found = demonstrations(&[Row::Messages(messages.clone().into())]).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].0, messages[..3].to_vec().into());
        assert_eq!(found[1].1, messages[3..].to_vec().into());
    }

    #[test]
    fn the_split_goes_by_prompt_and_not_by_order() {
        let row = |i: usize| Row::Demonstration {
            prompt: Content::from(format!("prompt {}", i / 3).as_str()),
            completion: Content::from(format!("{i}").as_str()),
        };
        let rows: Vec<Row> = (0..900).map(row).collect();
        let (train, held_out) = split(rows.clone(), 0.2, Rng::new(1));
        assert!((120..240).contains(&held_out.len()), "{}", held_out.len());
        let prompts_of = |rows: &[Row]| prompts(rows).unwrap();
        assert!(prompts_of(&train).iter().all(|prompt| !prompts_of(&held_out).contains(prompt)));

        let mut backwards = rows;
        backwards.reverse();
        let (_, mut again) = split(backwards, 0.2, Rng::new(1));
        again.reverse();
        assert_eq!(again, held_out);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let message = rankings(&[Row::Text("x".into())]).unwrap_err().to_string();
        assert!(message.starts_with("no rankings among the 1 rows (text)"), "{message}");
        assert!(message.contains("prompt, chosen, rejected"), "{message}");
    }
}
