//! How a conversation becomes text: the chat template that a model brings, or one of ours for models without one. All
//! are Jinja, so that `transformers` prompts a model as it was trained.
//!
//! What the assistant wrote is known from the template's `generation` tags, or by writing the conversation up to each
//! completion and with it: what comes in between is that completion and its end of turn.

mod guard;
mod jinja;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::ChatTemplate;
use model::source::TEMPLATE as FILE;

use super::error::DataError;
use super::json::{Json, Object};
use super::rows::{Content, Conversation, Message, Role};
pub use guard::Guard;
use jinja::Jinja;

/// The dialogues of hh-rlhf. A completion is ended by the end token, which is not the template's.
const DIALOGUE: &str = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}\
    {{ message['content'] }}{% elif message['role'] == 'user' %}{{ '\\n\\nHuman: ' + message['content'] }}\
    {% else %}{{ '\\n\\nAssistant: ' + message['content'] }}{% endif %}{% endfor %}\
    {% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}";

/// Recipe mini's world: the request, and "Answer:" on the next line. Each request stands alone.
const WORLD: &str = "{{ bos_token }}{% set ns = namespace(first=0) %}{% for message in messages %}\
    {% if message['role'] == 'user' %}{% set ns.first = loop.index0 %}{% endif %}{% endfor %}\
    {% for message in messages[ns.first:] %}{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}\
    {% else %}{{ message['content'] + '\\nAnswer:' }}{% endif %}{% endfor %}";

/// A piece of a rendered conversation, and whether the template says that the assistant wrote it.
pub type Part = (String, bool);

#[derive(Clone)]
pub struct Template {
    source: String,
    /// Where it was read, for errors.
    path: PathBuf,
    jinja: Jinja,
    /// `bos_token`, `eos_token`, … as the template knows them.
    names: BTreeMap<String, String>,
}

impl Template {
    pub fn dialogue() -> Template {
        Template::ours(DIALOGUE)
    }

    pub fn world() -> Template {
        Template::ours(WORLD)
    }

    fn ours(source: &str) -> Template {
        Template::new(source.to_string(), PathBuf::from(FILE)).expect("our own templates are good")
    }

    pub fn new(source: String, path: PathBuf) -> Result<Template, DataError> {
        match Jinja::new(&source) {
            Ok(jinja) => Ok(Template { source, path, jinja, names: BTreeMap::new() }),
            Err(reason) => Err(DataError::Template { path, reason }),
        }
    }

    /// The template that a model brings: a directory in a file of its own or in `tokenizer_config.json`, or a GGUF file.
    pub fn of_model(model: &Path) -> Result<Option<Template>, DataError> {
        let Some(ChatTemplate { text, path, tokens }) = model::chat_template(model).map_err(DataError::Model)? else {
            return Ok(None);
        };
        Ok(Some(Template { names: tokens, ..Template::new(text, path)? }))
    }

    /// Writes it into a model directory.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::write(dir.join(FILE), &self.source)
    }

    /// May it write this name? It has it in its text, or knows it by another.
    pub fn writes(&self, name: &str) -> bool {
        let by_role = |(role, text): (&String, &String)| text == name && self.source.contains(role.as_str());
        self.source.contains(name) || self.names.iter().any(by_role)
    }

    /// Tells the template a token's name, unless the model's files did.
    pub fn name(&mut self, token: &str, text: &str) {
        self.names.entry(token.to_string()).or_insert_with(|| text.to_string());
    }

    /// Is it one that a model was trained with, none of ours?
    pub fn is_models(&self) -> bool {
        ![DIALOGUE, WORLD].contains(&self.source.as_str())
    }

    /// Does it say itself what the assistant wrote?
    pub fn marks_completions(&self) -> bool {
        self.jinja.marks_completions
    }

    pub fn fault(&self, reason: impl Into<String>) -> DataError {
        DataError::Template { path: self.path.clone(), reason: reason.into() }
    }

    /// The conversation in parts. `generation_prompt`: it ends where the assistant begins to write. `nonce`: what marks
    /// completions while the template runs, and is in no message.
    pub fn render(&self, talk: &Conversation, generation_prompt: bool, nonce: &str) -> Result<Vec<Part>, DataError> {
        let text = |text: &str| Json::String(text.to_string());
        let mut context = vec![
            ("messages".to_string(), Json::Array(talk.iter().map(plain).collect())),
            ("add_generation_prompt".to_string(), Json::Bool(generation_prompt)),
            ("tools".to_string(), Json::Null),
            ("documents".to_string(), Json::Null),
            (jinja::NONCE.to_string(), text(nonce)),
        ];
        context.extend(self.names.iter().map(|(name, said)| (name.clone(), text(said))));
        context.extend(talk.variables.0.iter().cloned());
        let text = self.jinja.render(context).map_err(|reason| self.fault(reason))?;
        parts(&text, nonce).ok_or_else(|| self.fault("it changes text of the assistant after it has marked it"))
    }

    /// A prompt as one text that ends where the assistant begins to write, or goes on: a completion at its end is not
    /// closed.
    pub fn opening(&self, talk: &Conversation, nonce: &str) -> Result<String, DataError> {
        match talk.split_last() {
            Some((last, before)) if last.role == Role::Assistant && !last.text.trim().is_empty() => {
                let mark = format!("{nonce}=");
                let marked = Message { text: format!("{}{mark} ", last.text), ..last.clone() };
                let marked = talk.with([before, &[marked]].concat());
                let text = joined(self.render(&marked, false, nonce)?);
                let Some(at) = text.rfind(&mark) else {
                    return Err(self.fault(
                        "it does not write the completion that the prompt ends with, so nothing can go on from it",
                    ));
                };
                // a template that trims has trimmed what stood after the mark
                let kept = text[at + mark.len()..].starts_with(' ');
                Ok(if kept { text[..at].to_string() } else { text[..at].trim_end().to_string() })
            }
            _ => Ok(joined(self.render(talk, true, nonce)?)),
        }
    }

    /// What it writes after each completion, up to a control token, found by trying: what a completion at the end and
    /// one in the middle have in common.
    pub fn turn_end(&self, names: &[&str]) -> Result<Option<String>, DataError> {
        const ANSWER: &str = "Answer 7301.";
        let nonce = Guard::new().nonce;
        let said = Message::new;
        let mut messages = vec![said(Role::User, "Question 1?"), said(Role::Assistant, ANSWER)];
        let tail = |messages: &[Message]| -> Result<Option<String>, DataError> {
            let text = joined(self.render(&messages.to_vec().into(), false, &nonce)?);
            Ok(text.find(ANSWER).map(|at| text[at + ANSWER.len()..].to_string()))
        };
        let Some(last) = tail(&messages)? else {
            return Err(self.fault("it does not write what the assistant says"));
        };
        messages.extend([said(Role::User, "Question 2?"), said(Role::Assistant, "Yes.")]);
        // a template may leave earlier turns out
        let middle = tail(&messages)?.unwrap_or_else(|| last.clone());
        let same: usize = last.chars().zip(middle.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
        let end_of_last = |text: &str| names.iter().filter_map(|name| Some(text.rfind(name)? + name.len())).max();
        // or the last turn of all ends in a way of its own
        let end = end_of_last(&last[..same]).or_else(|| end_of_last(&last));
        Ok(end.map(|end| last[..end].to_string()))
    }

    /// The conversation as one text, as a reader would see it: its control tokens are not told from their names.
    pub fn conversation_text(&self, talk: &Conversation) -> Result<String, DataError> {
        Ok(joined(self.render(talk, false, &Guard::new().nonce)?))
    }

    /// The text of a prompt, for those who want no tokens.
    pub fn prompt_text(&self, prompt: &Content) -> Result<String, DataError> {
        match prompt {
            Content::Text(text) => Ok(text.clone()),
            Content::Messages(talk) => self.opening(talk, &Guard::new().nonce).map_err(|error| error.at(&talk.place)),
        }
    }

    /// The text of a prompt and of its completion.
    pub fn pair_text(&self, prompt: &Content, completion: &Content) -> Result<(String, String), DataError> {
        let prompt_text = self.prompt_text(prompt)?;
        let completion_text = match (prompt, completion) {
            (_, Content::Text(text)) => text.clone(),
            (Content::Text(_), Content::Messages(talk)) => self.conversation_text(talk)?,
            (Content::Messages(before), Content::Messages(after)) => {
                let whole = self.conversation_text(&before.with(after_prompt(before, after)));
                whole.and_then(|whole| self.completion(&prompt_text, whole)).map_err(|error| error.at(&before.place))?
            }
        };
        Ok((prompt_text, completion_text))
    }

    /// What a text says beyond its prompt, with which it must begin.
    pub fn completion(&self, prompt: &str, whole: String) -> Result<String, DataError> {
        let same = prompt.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
        whole.strip_prefix(prompt).map(str::to_string).ok_or_else(|| {
            let there = String::from_utf8_lossy(&prompt.as_bytes()[same..]).chars().take(40).collect::<String>();
            self.fault(format!(
                "what it writes for a completed prompt does not begin with what it writes for that prompt ({there:?} is \
                 not in it), so nothing says which tokens are the completion. Mark what the assistant writes with \
                 {{% generation %}} and {{% endgeneration %}} in {FILE}, or let completions follow the generation prompt"
            ))
        })
    }
}

/// A message as templates know it.
fn plain(message: &Message) -> Json {
    let mut entries = vec![("role".to_string(), Json::String(message.role.name().into()))];
    if message.has_text {
        entries.push(("content".into(), Json::String(message.text.clone())));
    }
    entries.extend(message.more.0.iter().cloned());
    Json::Object(Object(entries))
}

/// Does the completion go on with what the prompt begins of it?
pub fn goes_on(before: &[Message], after: &[Message]) -> bool {
    let assistant = |message: Option<&Message>| message.is_some_and(|message| message.role == Role::Assistant);
    assistant(before.last())
        && assistant(after.first())
        && before.last().is_some_and(|last| !last.text.trim().is_empty())
}

/// Prompt and completion as one list of messages.
pub fn after_prompt(before: &[Message], after: &[Message]) -> Vec<Message> {
    if !goes_on(before, after) {
        return [before, after].concat();
    }
    let (last, before) = before.split_last().expect("it ends with the assistant");
    let mut more = last.more.clone();
    more.0.extend(after[0].more.0.iter().filter(|(name, _)| !last.more.has(name)).cloned());
    let text = format!("{}{}", last.text, after[0].text);
    [before, &[Message { text, more, ..last.clone() }], &after[1..]].concat()
}

pub fn joined(parts: Vec<Part>) -> String {
    parts.into_iter().map(|(text, _)| text).collect()
}

/// Cuts at the marks of the assistant's text. The nonce that breaks names stays where it is.
fn parts(text: &str, nonce: &str) -> Option<Vec<Part>> {
    let mut parts: Vec<Part> = vec![(String::new(), false)];
    let mut pieces = text.split(nonce);
    parts[0].0 += pieces.next()?;
    for piece in pieces {
        let inside = parts.last().is_some_and(|(_, trained)| *trained);
        match piece.chars().next()? {
            '<' if !inside => parts.push((piece[1..].to_string(), true)),
            '>' if inside => parts.push((piece[1..].to_string(), false)),
            '=' => {
                let last = &mut parts.last_mut()?.0;
                *last += nonce;
                *last += piece;
            }
            _ => return None,
        }
    }
    // half a nonce is one that the template cut
    let halves = nonce.split_at(nonce.len() / 2);
    let rest = text.replace(nonce, "");
    if rest.contains(halves.0) || rest.contains(halves.1) {
        return None;
    }
    parts.retain(|(text, trained)| *trained || !text.is_empty());
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const CONFIG: &str = "tokenizer_config.json";

    fn said(role: Role, text: &str) -> Message {
        Message::new(role, text)
    }

    #[test]
    fn dialogues_are_written_as_in_hh_rlhf() {
        use Role::*;
        let prompt = [said(System, "Be brief."), said(User, "Hi"), said(Assistant, "Hello"), said(User, "Bye")];
        let text = "Be brief.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant:";
        let (prompt, completion) = (Content::from(prompt.to_vec()), Content::from(vec![said(Assistant, "Bye!")]));
        assert_eq!(Template::dialogue().pair_text(&prompt, &completion).unwrap(), (text.into(), " Bye!".into()));
        let plain = ("as it is".into(), "so".into());
        assert_eq!(Template::dialogue().pair_text(&plain.0, &plain.1).unwrap(), ("as it is".into(), "so".into()));
    }

    #[test]
    fn requests_of_the_world_stand_alone() {
        use Role::*;
        let said = [said(User, "Hi."), said(Assistant, "Hello."), said(User, "What is red?")];
        assert_eq!(Template::world().prompt_text(&Content::from(said.to_vec())).unwrap(), "What is red?\nAnswer:");
    }

    #[test]
    fn a_model_brings_its_template_in_one_of_two_places() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Template::of_model(dir.path()).unwrap().is_none());
        let config = |template: Value| {
            let json = serde_json::json!({"chat_template": template, "bos_token": {"content": "<s>"}});
            std::fs::write(dir.path().join(CONFIG), json.to_string()).unwrap();
            let template = Template::of_model(dir.path()).unwrap().unwrap();
            template.conversation_text(&vec![said(Role::User, "hi")].into()).unwrap()
        };
        assert_eq!(config("{{ bos_token }}{{ messages[0].content }}".into()), "<s>hi");
        let several = [("tool_use", "no"), ("default", "yes")];
        let several = several.map(|(name, template)| serde_json::json!({"name": name, "template": template}));
        assert_eq!(config(several.to_vec().into()), "yes");
        Template::world().write(dir.path()).unwrap();
        assert_eq!(config("no".into()), "<s>hi\nAnswer:");
        std::fs::write(dir.path().join(FILE), "{% if %}").unwrap();
        let error = Template::of_model(dir.path()).err().unwrap().to_string();
        assert!(error.contains(FILE) && error.contains("line 1"), "{error}");
    }

    #[test]
    fn marks_are_cut_out_and_must_be_whole() {
        let nonce = "012345678901234567890123456789012345678";
        let read = |text: &str| parts(&text.replace('N', nonce), nonce);
        let part = |text: &str, trained| (text.replace('N', nonce), trained);
        assert_eq!(read("aN<bN=cN>d"), Some(vec![part("a", false), part("bN=c", true), part("d", false)]));
        for wrong in ["N>a", "N<N<", "aN", "aN?", &format!("a{}", &nonce[10..])] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
