//! Conversations as token ids: the template writes them, and what of them is trained is found.

use std::collections::BTreeSet;

use super::Processor;
use crate::data::batch::Example;
use crate::data::error::DataError;
use crate::data::rows::{Conversation, Message, Role};
use crate::data::template::{Guard, Part, after_prompt, goes_on, joined};

impl Processor {
    /// The ids of a prompt of messages, up to where the assistant begins to write, or goes on.
    pub(super) fn opening(&self, talk: &Conversation) -> Result<Vec<u32>, DataError> {
        let parts = self.encode(talk, |talk, nonce| Ok(vec![(self.template.opening(talk, nonce)?, false)]))?;
        Ok(parts.into_iter().flat_map(|(ids, _)| ids).collect())
    }

    /// Prompt and completion, uncut. A completion goes on with what its prompt begins of it.
    pub(super) fn pair_of_turns(
        &self,
        before: &Conversation,
        after: &[Message],
    ) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let all = before.with([&before[..], after].concat());
        let at = before.len();
        self.split(&all, |talk, nonce| match goes_on(&talk[..at], &talk[at..]) {
            true => {
                let opening = self.template.opening(&talk.with(talk[..at].to_vec()), nonce)?;
                self.completion_after(opening, &talk.with(after_prompt(&talk[..at], &talk[at..])), nonce)
            }
            false => self.turn(talk, at, nonce),
        })
    }

    fn split(
        &self,
        talk: &Conversation,
        write: impl Fn(&Conversation, &str) -> Result<(String, String), DataError>,
    ) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let parts = self.encode(talk, |talk, nonce| {
            let (prompt, completion) = write(talk, nonce)?;
            Ok(vec![(prompt, false), (completion, true)])
        })?;
        let [(prompt, _), (mut completion, _)] = parts.try_into().expect("two parts");
        if self.turn_end.is_none() {
            completion.push(self.eos);
        }
        Ok((prompt, completion))
    }

    /// The sequences of a conversation, and how many tokens of each are a prompt.
    pub(super) fn conversation(&self, talk: &Conversation) -> Result<Vec<(Example, usize)>, DataError> {
        // what the assistant says before anyone else answers nothing
        let is_completion = |at: &usize| talk[*at].role == Role::Assistant && talk[*at].trained;
        let completions: Vec<usize> = (1..talk.len()).filter(is_completion).collect();
        if self.template.marks_completions() {
            return Ok(vec![(marked(self.marked_by_template(talk, !completions.is_empty())?), 0)]);
        }
        if completions.is_empty() && talk.iter().any(|message| !message.trained) {
            return Ok(vec![(marked(self.encode(talk, |talk, nonce| self.template.render(talk, false, nonce))?), 0)]);
        }
        if self.turn_end.is_some() && !self.turns(talk, &completions, &Guard::new().nonce)?.is_empty() {
            let parts = self.encode(talk, |talk, nonce| self.turns(talk, &completions, nonce))?;
            return Ok(vec![(marked(parts), 0)]);
        }
        let one = |&at: &usize| {
            let part = talk.with(talk[..=at].to_vec());
            let (prompt, completion) = self.split(&part, |talk, nonce| self.turn(talk, at, nonce))?;
            Ok((Example::completion(&prompt, &completion), prompt.len()))
        };
        completions.iter().map(one).collect()
    }

    /// The parts as the template's generation tags mark them, but for completions that are not trained.
    fn marked_by_template(&self, talk: &Conversation, trains: bool) -> Result<Vec<(Vec<u32>, bool)>, DataError> {
        let mut parts = self.encode(talk, |talk, nonce| self.template.render(talk, false, nonce))?;
        let marks = parts.iter().filter(|(_, trained)| *trained).count();
        if trains && !parts.iter().any(|(ids, trained)| *trained && !ids.is_empty()) {
            return Err(self.template.fault("its generation tags mark nothing of what the assistant writes"));
        }
        let wanted: Vec<bool> = talk.iter().filter(|m| m.role == Role::Assistant).map(|m| m.trained).collect();
        if wanted.contains(&false) {
            if marks != wanted.len() {
                return Err(self.template.fault(format!(
                    "its generation tags mark {marks} parts for {} completions, so nothing says which are those of weight 0",
                    wanted.len()
                )));
            }
            parts.iter_mut().filter(|(_, trained)| *trained).zip(wanted).for_each(|(part, wanted)| part.1 = wanted);
        }
        Ok(parts)
    }

    /// A prompt of the first `at` messages, and what the template writes for the others up to their end of turn.
    fn turn(&self, talk: &Conversation, at: usize, nonce: &str) -> Result<(String, String), DataError> {
        let prompt = joined(self.template.render(&talk.with(talk[..at].to_vec()), true, nonce)?);
        self.completion_after(prompt, talk, nonce)
    }

    fn completion_after(
        &self,
        prompt: String,
        talk: &Conversation,
        nonce: &str,
    ) -> Result<(String, String), DataError> {
        let mut completion = self.template.completion(&prompt, joined(self.template.render(talk, false, nonce)?))?;
        if let Some(end) = &self.turn_end {
            let Some(found) = completion.rfind(end.as_str()) else {
                return Err(self
                    .template
                    .fault(format!("it does not end the completion with {end:?} as it does others")));
            };
            completion.truncate(found + end.len());
        }
        Ok((prompt, completion))
    }

    /// The conversation with its completions found turn by turn; no parts if it is written differently once it goes on.
    fn turns(&self, talk: &Conversation, completions: &[usize], nonce: &str) -> Result<Vec<Part>, DataError> {
        let whole = joined(self.template.render(talk, false, nonce)?);
        let (mut parts, mut end) = (vec![], 0);
        for &at in completions {
            let (prompt, completion) = self.turn(&talk.with(talk[..=at].to_vec()), at, nonce)?;
            if prompt.len() < end || !whole.starts_with(&prompt) || !whole[prompt.len()..].starts_with(&completion) {
                return Ok(vec![]);
            }
            parts.push((whole[end..prompt.len()].to_string(), false));
            end = prompt.len() + completion.len();
            parts.push((completion, true));
        }
        parts.push((whole[end..].to_string(), false));
        Ok(parts)
    }

    /// What `write` makes of the messages, as ids: the names of control tokens mean those tokens where the template
    /// wrote them and nothing where a message did. Checked: contents that say nothing give the same control tokens.
    fn encode(
        &self,
        talk: &Conversation,
        write: impl Fn(&Conversation, &str) -> Result<Vec<Part>, DataError>,
    ) -> Result<Vec<(Vec<u32>, bool)>, DataError> {
        let names: Vec<&str> = self.tokenizer.control_names().collect();
        let guard = Guard::new();
        let ids = |talk: &Conversation| -> Result<Vec<(Vec<u32>, bool)>, DataError> {
            let parts = write(talk, &guard.nonce)?;
            let texts: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
            let ids = self.tokenizer.encode_guarded(&texts, &guard.mark);
            Ok(ids.into_iter().zip(parts).map(|(ids, (_, trained))| (ids, trained)).collect())
        };
        let controls = |parts: &[(Vec<u32>, bool)]| -> Vec<u32> {
            parts.iter().flat_map(|(ids, _)| ids).copied().filter(|&id| self.tokenizer.is_control(id)).collect()
        };
        let broken = guard.broken(talk, &names);
        let found = ids(&broken)?;
        if let Some(id) = found.iter().flat_map(|(ids, _)| ids).find(|&&id| id as usize >= self.rows) {
            let name = self.tokenizer.decode(&[*id]);
            return Err(self
                .template
                .fault(format!("it writes {name}, token {id}, and the model has {} rows", self.rows)));
        }
        if controls(&found) != controls(&ids(&Guard::neutral(&broken))?) {
            let text: String = talk.iter().flat_map(|message| message.text.chars()).take(80).collect();
            return Err(self.template.fault(format!(
                "a conversation changes which control tokens it writes, which only the template should do. It starts \
                 with {text:?}"
            )));
        }
        Ok(found)
    }

    /// Counts what a conversation says besides role and content and the template does not write: nothing is dropped in
    /// silence. Refused where nothing else is left of a completion.
    pub(super) fn note_unwritten(&self, talk: &Conversation) -> Result<(), DataError> {
        let common = |message: &Message| matches!(message.role, Role::User | Role::Assistant);
        if talk.variables.0.is_empty() && talk.iter().all(|m| m.more.0.is_empty() && common(m)) {
            return Ok(());
        }
        let nonce = Guard::new().nonce;
        let write = |talk: &Conversation| self.template.render(talk, false, &nonce).map(joined);
        let whole = write(talk)?;
        // what cannot be written without something needs it
        let same = |other: Conversation| write(&other).is_ok_and(|text| text == whole);
        let keys: BTreeSet<&str> = talk.iter().flat_map(|message| message.more.keys()).collect();
        let without = |names: &[&str]| {
            let strip = |message: &Message| {
                let mut message = message.clone();
                message.more.0.retain(|(name, _)| !names.contains(&name.as_str()));
                message
            };
            talk.with(talk.iter().map(strip).collect())
        };
        let unwritten: Vec<&str> = match same(without(&REASONING)) {
            true => keys.iter().copied().filter(|&key| REASONING.contains(&key) || same(without(&[key]))).collect(),
            false => keys.iter().copied().filter(|&key| !REASONING.contains(&key) && same(without(&[key]))).collect(),
        };
        let nothing_else = |message: &Message| {
            message.role == Role::Assistant
                && message.trained
                && message.text.trim().is_empty()
                && !message.more.0.is_empty()
        };
        let lost = |message: &Message| message.more.keys().all(|key| unwritten.contains(&key));
        if let Some(at) = talk.iter().position(|message| nothing_else(message) && lost(message)) {
            let keys: Vec<&str> = talk[at].more.keys().collect();
            return Err(self.template.fault(format!(
                "message {at} has {}, which the template does not write, and says nothing else",
                keys.join(", ")
            )));
        }
        for key in unwritten.iter().filter(|key| !is_about(key) && **key != "thinking") {
            self.note(format!("\"{key}\" of messages is not written by the model's chat template"));
        }
        for (name, _) in &talk.variables.0 {
            let mut other = talk.clone();
            other.variables.0.retain(|(there, _)| there != name);
            if same(other) {
                self.note(format!("\"{name}\" is not used by the model's chat template"));
            }
        }
        for role in [Role::System, Role::Developer, Role::Tool, Role::Function, Role::Ipython] {
            let there = talk.iter().any(|message| message.role == role && !message.text.trim().is_empty());
            let others = || talk.with(talk.iter().filter(|message| message.role != role).cloned().collect());
            if there && same(others()) {
                self.note(format!("messages of role {} are not written by the model's chat template", role.name()));
            }
        }
        Ok(())
    }
}

/// Names of one thing.
const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// Keys that say who made a message and when, nothing that it says.
fn is_about(key: &str) -> bool {
    const ABOUT: [&str; 14] = [
        "id",
        "index",
        "type",
        "status",
        "refusal",
        "annotations",
        "audio",
        "timestamp",
        "date",
        "created",
        "model",
        "metadata",
        "score",
        "lang",
    ];
    ABOUT.contains(&key) || key.ends_with("_id") || key.starts_with('_')
}

/// The parts as one sequence.
fn marked(parts: Vec<(Vec<u32>, bool)>) -> Example {
    let weights = parts.iter().flat_map(|(ids, trained)| ids.iter().map(|_| if *trained { 1.0 } else { 0.0 }));
    let mut weights: Vec<f32> = weights.collect();
    if let Some(first) = weights.first_mut() {
        *first = 0.0; // nothing predicts it
    }
    Example { tokens: parts.into_iter().flat_map(|(ids, _)| ids).collect(), weights }
}
