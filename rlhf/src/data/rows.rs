//! One row of data, whatever file it came from.

use std::fmt;
use std::ops::Deref;

use super::json::Object;
use super::place::Place;

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
    /// Something to be completed.
    Prompt(Content),
    /// A prompt and a completion that shows how.
    Demonstration { prompt: Content, completion: Content },
    /// A completion that someone found good, or not.
    Labelled { prompt: Content, completion: Content, good: bool },
    /// K completions of one prompt; lower ranks are better, ties allowed. A preference is K = 2.
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

    /// Does it have completions that can be shown as demonstrations, rankings, …?
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

    /// Strings as turns: the prompt is the user's, what follows it the assistant's. Texts stay texts.
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
    pub(super) fn subject(&self) -> String {
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
                let first_completion =
                    messages.iter().position(|m| m.role == Role::Assistant).unwrap_or(messages.len());
                format!("{:?}", Content::from(messages[..first_completion].to_vec()))
            }
        }
    }
}
