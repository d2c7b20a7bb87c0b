//! Rows and texts to the token ids that a model reads, within its context, and back. Which of them are trained is said
//! here and nowhere else.
//!
//! Strings are used as they are; messages are written by the model's [`Template`]. A completion ends with the end of
//! turn of the template, or with the end token where the template writes none. What is too long for the context is cut
//! and counted: a prompt loses its beginning, a completion or a conversation its end.

use std::sync::{Mutex, MutexGuard};

use kernels::Rng;
use model::Tokenizer;

use super::cuts::Cuts;
use super::error::DataError;
use super::rows::{self, Content, Message, Role, Row};
use super::template::{Guard, Part, Template, joined};
use super::{Example, Ranking};
use crate::pretrain;

pub struct Codec {
    pub tokenizer: Tokenizer,
    /// The token that ends a text.
    pub eos: u32,
    /// Every token that ends an answer.
    pub ends: Vec<u32>,
    /// The most tokens that the models read.
    pub context: usize,
    /// Tokens that the models know: less than the tokenizer where it has control tokens that nobody has trained.
    pub rows: usize,
    pub template: Template,
    /// How the template ends a turn of the assistant: text that ends in a control token.
    turn_end: Option<String>,
    cuts: Mutex<Cuts>,
}

impl Codec {
    /// `ends`: what the model's own files say ends an answer.
    pub fn new(tokenizer: Tokenizer, context: usize, mut template: Template, ends: &[u32]) -> Result<Codec, DataError> {
        let eos = tokenizer.eos();
        let name = |id: u32| String::from_utf8_lossy(tokenizer.piece(id)).into_owned();
        template.name("eos_token", &name(eos));
        if let Some(bos) = tokenizer.bos() {
            template.name("bos_token", &name(bos));
        }
        let names: Vec<&str> = tokenizer.control_names().collect();
        let turn_end = turn_end(&template, &names)?;
        let mut all = ends.to_vec();
        let last = turn_end.as_deref().and_then(|end| tokenizer.encode_with_special(end).last().copied());
        for end in [Some(eos), last].into_iter().flatten() {
            if !all.contains(&end) {
                all.push(end);
            }
        }
        let rows = tokenizer.vocab_size();
        Ok(Codec { tokenizer, eos, ends: all, context, rows, template, turn_end, cuts: Mutex::default() })
    }

    /// The tokens at whose place an answer is scored: those that it ends with.
    pub fn scored_at(&self) -> Vec<u32> {
        let turn = self.turn_end.as_deref().and_then(|end| self.tokenizer.encode_with_special(end).last().copied());
        [Some(self.eos), turn].into_iter().flatten().collect()
    }

    /// What `transformers` shall fill batches for a reward model with: it reads the score before the last such tokens, so
    /// none that an answer ends with, nor that a template writes. The one that the model's files name, if it may be; or
    /// one that is called so, or that ends texts and not answers; or none.
    pub fn padding(&self, said: Option<u32>) -> Option<u32> {
        let ends = self.scored_at();
        let fits = |id: &u32| (*id as usize) < self.rows && !ends.contains(id);
        if let Some(said) = self.tokenizer.pad().or(said).filter(fits) {
            return Some(said);
        }
        let written = |name: &str| self.template.writes(name);
        let free = |id: &u32| fits(id) && Some(*id) != self.tokenizer.bos() && self.tokenizer.is_control(*id);
        let mut controls: Vec<(&str, u32)> =
            self.tokenizer.control_names().filter_map(|name| Some((name, self.tokenizer.added_token(name)?))).collect();
        controls.retain(|(name, id)| free(id) && !written(name));
        let called = |name: &str| name.to_lowercase().contains("pad");
        let end = |name: &str| ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"].contains(&name);
        let found =
            controls.iter().find(|(name, _)| called(name)).or_else(|| controls.iter().find(|(name, _)| end(name)));
        found.map(|&(_, id)| id)
    }

    /// A prompt that leaves room for `room` more tokens: its beginning goes when it is too long.
    pub fn prompt(&self, text: &str, room: usize) -> Vec<u32> {
        self.with_room(self.start(text), room)
    }

    /// A prompt's ids, of which the beginning goes when they leave no room for `room` more.
    pub fn with_room(&self, mut ids: Vec<u32>, room: usize) -> Vec<u32> {
        let most = self.context.saturating_sub(room).max(2);
        let start = self.start_tokens(&ids);
        self.cuts().fit_prompt(&mut ids, most, start);
        ids
    }

    fn start(&self, text: &str) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_start(text);
        if ids.is_empty() {
            ids.push(self.eos); // a text begins where another ended
        }
        ids
    }

    /// How many tokens of a prompt say that here a text starts.
    fn start_tokens(&self, prompt: &[u32]) -> usize {
        usize::from(self.tokenizer.bos().is_some_and(|bos| prompt.first() == Some(&bos)))
    }

    /// An answer; one that was cut off has no end to read the score at but its last token.
    fn completion(&self, text: &str, ended: bool) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_more(text);
        if ended || ids.is_empty() {
            ids.push(self.eos);
        }
        ids
    }

    /// A demonstration: the loss is on the answer and its end alone.
    pub fn demonstration(&self, prompt: &str, completion: &str) -> Example {
        self.fitted(self.start(prompt), self.completion(completion, true))
    }

    /// `ended`: which completions ended by themselves; all did when this is empty.
    pub fn ranking(&self, prompt: &str, completions: &[String], ended: &[bool], ranks: &[f32]) -> Ranking {
        let ended = |i: usize| ended.get(i).copied().unwrap_or(true);
        let completions = completions.iter().enumerate().map(|(i, text)| self.completion(text, ended(i))).collect();
        self.fitted_ranking(self.start(prompt), completions, ranks)
    }

    fn fitted(&self, prompt: Vec<u32>, completion: Vec<u32>) -> Example {
        let (mut prompt, mut completion) = (prompt, [completion]);
        let start = self.start_tokens(&prompt);
        self.cuts().fit(&mut prompt, &mut completion, self.context, start);
        Example::answer(&prompt, &completion[0])
    }

    fn fitted_ranking(&self, mut prompt: Vec<u32>, mut completions: Vec<Vec<u32>>, ranks: &[f32]) -> Ranking {
        let start = self.start_tokens(&prompt);
        self.cuts().fit(&mut prompt, &mut completions, self.context, start);
        Ranking { prompt, completions, ranks: ranks.to_vec() }
    }

    fn cuts(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().expect("no thread panics while it counts")
    }

    /// What did not fit into the context since the last call.
    pub fn take_cuts(&self) -> Cuts {
        std::mem::take(&mut *self.cuts())
    }

    /// The same, if anything, to be told: cutting is never silent.
    pub fn cut_report(&self) -> Option<String> {
        let cuts = self.take_cuts();
        cuts.any().then(|| format!("context of {}: {cuts}", self.context))
    }

    /// Documents laid end to end in a random order, each with its end, cut into windows of the context.
    pub fn windows<T: AsRef<str>>(&self, documents: &[T], rng: Rng) -> Vec<Example> {
        let order = rng.permutation(documents.len());
        self.windows_in_order(order.into_iter().map(|i| documents[i].as_ref()))
    }

    /// The same in the order given.
    pub fn windows_in_order<'a>(&self, documents: impl IntoIterator<Item = &'a str>) -> Vec<Example> {
        let mut tokens = if self.tokenizer.bos().is_none() { vec![self.eos] } else { Vec::new() };
        for document in documents {
            tokens.extend(self.tokenizer.encode_start(document));
            tokens.push(self.eos);
        }
        pretrain::windows(&tokens, self.context)
    }

    /// What an answer says: up to its end.
    pub fn text(&self, ids: &[u32]) -> String {
        let end = ids.iter().position(|id| self.ends.contains(id)).unwrap_or(ids.len());
        self.tokenizer.decode(&ids[..end])
    }
}

/// Rows, whose messages the template writes.
impl Codec {
    /// For SFT: what a row shows, none if it shows nothing. A conversation is one sequence with all its answers
    /// trained, or one for each answer where the template writes it differently once it goes on.
    pub fn demonstrations_of(&self, row: &Row) -> Result<Vec<Example>, DataError> {
        let uncut = match row {
            Row::Messages(_) | Row::Demonstration { .. } | Row::Labelled { good: true, .. } => self.uncut(row)?,
            _ => vec![],
        };
        let all = uncut.len();
        let mut examples: Vec<Example> = uncut.into_iter().map(|(example, prompt)| self.cut(example, prompt)).collect();
        examples.retain(|example| example.weights.iter().any(|&weight| weight != 0.0));
        self.cuts().untrained += all - examples.len();
        Ok(examples)
    }

    pub fn demonstrations(&self, rows: &[Row]) -> Result<Vec<Example>, DataError> {
        let found = rows.iter().map(|row| self.demonstrations_of(row)).collect::<Result<Vec<_>, _>>()?;
        rows::wanted("demonstrations", rows, found.concat())
    }

    /// For the reward model: the row's ranking, if it is one; each completion ends with its end token.
    pub fn ranking_of(&self, row: &Row) -> Result<Option<Ranking>, DataError> {
        let Row::Ranked { prompt, completions, ranks } = row else { return Ok(None) };
        let pairs = completions.iter().map(|completion| self.answered(prompt, completion));
        let (prompts, completions): (Vec<_>, Vec<_>) = pairs.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let prompt = prompts.into_iter().next().expect("a ranking has completions");
        Ok(Some(self.fitted_ranking(prompt, completions, ranks)))
    }

    pub fn rankings(&self, rows: &[Row]) -> Result<Vec<Ranking>, DataError> {
        let found = rows.iter().filter_map(|row| self.ranking_of(row).transpose()).collect::<Result<Vec<_>, _>>()?;
        rows::wanted("rankings", rows, found)
    }

    /// For PPO: every prompt of the rows, once, with room for an answer of `room` tokens.
    pub fn prompts(&self, rows: &[Row], room: usize) -> Result<Vec<Vec<u32>>, DataError> {
        rows::prompts(rows)?.iter().map(|prompt| Ok(self.with_room(self.prompt_of(prompt)?, room))).collect()
    }

    /// Every sequence that a row gives, whatever it is good for and however long.
    pub fn sequences_of(&self, row: &Row) -> Result<Vec<Example>, DataError> {
        Ok(self.uncut(row)?.into_iter().map(|(example, _)| example).collect())
    }

    /// The same, and how many tokens of each are a prompt, which loses its beginning when it is too long.
    fn uncut(&self, row: &Row) -> Result<Vec<(Example, usize)>, DataError> {
        let pair = |prompt: &Content, completion: &Content| {
            let (prompt, completion) = self.answered(prompt, completion)?;
            Ok((Example::answer(&prompt, &completion), prompt.len()))
        };
        match row {
            Row::Text(text) => Ok(vec![(Example::text(self.start(text)), 0)]),
            Row::Prompt(prompt) => {
                let prompt = self.prompt_of(prompt)?;
                Ok(vec![(Example::answer(&prompt, &[]), prompt.len())])
            }
            Row::Messages(messages) => self.conversation(messages),
            Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
                Ok(vec![pair(prompt, completion)?])
            }
            Row::Ranked { prompt, completions, .. } => completions.iter().map(|one| pair(prompt, one)).collect(),
        }
    }

    fn cut(&self, mut example: Example, prompt: usize) -> Example {
        if prompt > 0 {
            let completion = example.tokens.split_off(prompt);
            return self.fitted(example.tokens, completion);
        }
        let mut cuts = self.cuts();
        cuts.rows += 1;
        cuts.cut_end(&mut example.tokens, self.context);
        example.weights.truncate(self.context);
        example
    }

    /// The ids that a model is given to answer.
    pub fn prompt_of(&self, prompt: &Content) -> Result<Vec<u32>, DataError> {
        match prompt {
            Content::Text(text) => Ok(self.start(text)),
            Content::Messages(messages) => {
                let parts = self.encode(messages, |messages, nonce| self.template.render(messages, true, nonce))?;
                Ok(parts.into_iter().flat_map(|(ids, _)| ids).collect())
            }
        }
    }

    /// Prompt and completion, uncut.
    fn answered(&self, prompt: &Content, completion: &Content) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        let (before, after) = match (prompt, completion) {
            (Content::Messages(before), Content::Messages(after)) => (before, after),
            (_, Content::Text(text)) => return Ok((self.prompt_of(prompt)?, self.completion(text, true))),
            (Content::Text(text), Content::Messages(_)) => {
                return Err(self.template.fault(format!("the prompt {text:?} is a string, its answer is not")));
            }
        };
        let all = [&before[..], after].concat();
        let parts = self.encode(&all, |messages, nonce| {
            let (prompt, answer) = self.turn(messages, before.len(), nonce)?;
            Ok(vec![(prompt, false), (answer, true)])
        })?;
        let [(prompt, _), (mut answer, _)] = parts.try_into().expect("two parts");
        if self.turn_end.is_none() {
            answer.push(self.eos);
        }
        Ok((prompt, answer))
    }

    fn conversation(&self, messages: &[Message]) -> Result<Vec<(Example, usize)>, DataError> {
        // what the assistant says before anyone else answers nothing
        let answers: Vec<usize> = (1..messages.len()).filter(|&at| messages[at].role == Role::Assistant).collect();
        if self.template.marks_answers() {
            let parts = self.encode(messages, |messages, nonce| self.template.render(messages, false, nonce))?;
            if !answers.is_empty() && !parts.iter().any(|(_, trained)| *trained) {
                return Err(self.template.fault("its generation tags mark nothing of what the assistant writes"));
            }
            return Ok(vec![(marked(parts), 0)]);
        }
        if self.turn_end.is_some() && !self.turns(messages, &answers, &Guard::new().nonce)?.is_empty() {
            let parts = self.encode(messages, |messages, nonce| self.turns(messages, &answers, nonce))?;
            return Ok(vec![(marked(parts), 0)]);
        }
        let one = |&at: &usize| {
            let part = |messages: &[Message]| Content::Messages(messages.to_vec());
            let (prompt, answer) = self.answered(&part(&messages[..at]), &part(&messages[at..=at]))?;
            Ok((Example::answer(&prompt, &answer), prompt.len()))
        };
        answers.iter().map(one).collect()
    }

    /// A prompt of the first `at` messages, and what the template writes for the others up to their end of turn.
    fn turn(&self, messages: &[Message], at: usize, nonce: &str) -> Result<(String, String), DataError> {
        let prompt = joined(self.template.render(&messages[..at], true, nonce)?);
        let mut answer = self.template.answer(&prompt, joined(self.template.render(messages, false, nonce)?))?;
        if let Some(end) = &self.turn_end {
            let Some(found) = answer.rfind(end.as_str()) else {
                return Err(self.template.fault(format!("it does not end the answer with {end:?} as it does others")));
            };
            answer.truncate(found + end.len());
        }
        Ok((prompt, answer))
    }

    /// The conversation with its answers found turn by turn; no parts if it is written differently once it goes on.
    fn turns(&self, messages: &[Message], answers: &[usize], nonce: &str) -> Result<Vec<Part>, DataError> {
        let whole = joined(self.template.render(messages, false, nonce)?);
        let (mut parts, mut end) = (vec![], 0);
        for &at in answers {
            let (prompt, answer) = self.turn(&messages[..=at], at, nonce)?;
            if prompt.len() < end || !whole.starts_with(&prompt) || !whole[prompt.len()..].starts_with(&answer) {
                return Ok(vec![]);
            }
            parts.push((whole[end..prompt.len()].to_string(), false));
            end = prompt.len() + answer.len();
            parts.push((answer, true));
        }
        parts.push((whole[end..].to_string(), false));
        Ok(parts)
    }

    /// What `write` makes of the messages, as ids: the names of control tokens mean those tokens where the template
    /// wrote them and nothing where a message did. Checked: contents that say nothing give the same control tokens.
    fn encode(
        &self,
        messages: &[Message],
        write: impl Fn(&[Message], &str) -> Result<Vec<Part>, DataError>,
    ) -> Result<Vec<(Vec<u32>, bool)>, DataError> {
        let names: Vec<&str> = self.tokenizer.control_names().collect();
        let guard = Guard::new();
        let ids = |messages: &[Message]| -> Result<Vec<(Vec<u32>, bool)>, DataError> {
            let parts = write(messages, &guard.nonce)?;
            let texts: Vec<&str> = parts.iter().map(|(text, _)| text.as_str()).collect();
            let ids = self.tokenizer.encode_guarded(&texts, &guard.mark);
            Ok(ids.into_iter().zip(parts).map(|(ids, (_, trained))| (ids, trained)).collect())
        };
        let controls = |parts: &[(Vec<u32>, bool)]| -> Vec<u32> {
            parts.iter().flat_map(|(ids, _)| ids).copied().filter(|&id| self.tokenizer.is_control(id)).collect()
        };
        let found = ids(&guard.broken(messages, &names))?;
        if let Some(id) = found.iter().flat_map(|(ids, _)| ids).find(|&&id| id as usize >= self.rows) {
            let name = self.tokenizer.decode(&[*id]);
            return Err(self
                .template
                .fault(format!("it writes {name}, token {id}, and the model has {} rows", self.rows)));
        }
        if controls(&found) != controls(&ids(&Guard::neutral(messages))?) {
            let text: String = messages.iter().flat_map(|message| message.text.chars()).take(80).collect();
            return Err(self.template.fault(format!(
                "a conversation changes which control tokens it writes, which only the template should do. It starts \
                 with {text:?}"
            )));
        }
        Ok(found)
    }
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

/// What a template writes after each answer, up to a control token, found by trying: what an answer at the end and one
/// in the middle have in common.
fn turn_end(template: &Template, names: &[&str]) -> Result<Option<String>, DataError> {
    const ANSWER: &str = "Answer 7301.";
    let nonce = Guard::new().nonce;
    let said = |role, text: &str| Message { role, text: text.into() };
    let mut messages = vec![said(Role::User, "Question 1?"), said(Role::Assistant, ANSWER)];
    let tail = |messages: &[Message]| -> Result<Option<String>, DataError> {
        let text = joined(template.render(messages, false, &nonce)?);
        Ok(text.find(ANSWER).map(|at| text[at + ANSWER.len()..].to_string()))
    };
    let Some(last) = tail(&messages)? else {
        return Err(template.fault("it does not write what the assistant says"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn codec(context: usize) -> Codec {
        let tokenizer = Tokenizer::train(["no merges"], 257, &["<|endoftext|>"]);
        Codec::new(tokenizer, context, Template::dialogue(), &[]).unwrap()
    }

    #[test]
    fn the_answer_and_its_end_are_trained() {
        let codec = codec(16);
        let example = codec.demonstration("ab", " c");
        assert_eq!(codec.tokenizer.decode(&example.tokens), "ab c<|endoftext|>");
        assert_eq!(example.weights, [0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn a_dialogue_is_a_demonstration_for_every_answer() {
        use Role::*;
        let codec = codec(100);
        let said = |role, text: &str| Message { role, text: text.into() };
        let row = Row::Messages(vec![said(User, "a"), said(Assistant, "b"), said(User, "c"), said(Assistant, "d")]);
        let trained = |example: &Example| {
            let trained = example.tokens.iter().zip(&example.weights).filter(|(_, weight)| **weight != 0.0);
            codec.tokenizer.decode(&trained.map(|(&id, _)| id).collect::<Vec<_>>())
        };
        let examples = codec.demonstrations(&[row]).unwrap();
        assert_eq!(examples.iter().map(trained).collect::<Vec<_>>(), [" b<|endoftext|>", " d<|endoftext|>"]);
        assert!(codec.tokenizer.decode(&examples[1].tokens).starts_with("\n\nHuman: a\n\nAssistant: b\n\nHuman: c"));
    }

    #[test]
    fn a_long_prompt_loses_its_beginning_and_a_long_answer_its_end() {
        let codec = codec(8);
        let check = |prompt: &str, answers: &[&str], kept: &str, kept_answers: &[&str], cuts: [usize; 4]| {
            let answers: Vec<String> = answers.iter().map(|answer| answer.to_string()).collect();
            let ranking = codec.ranking(prompt, &answers, &[], &vec![0.0; answers.len()]);
            assert_eq!(codec.tokenizer.decode(&ranking.prompt), kept);
            let decoded: Vec<String> =
                ranking.completions.iter().map(|c| codec.tokenizer.decode(c).replace("<|endoftext|>", "$")).collect();
            assert_eq!(decoded, kept_answers);
            let Cuts { prompts, prompt_tokens, completions, completion_tokens, .. } = codec.take_cuts();
            assert_eq!([prompts, prompt_tokens, completions, completion_tokens], cuts);
        };
        check("abc", &["wxyz", ""], "abc", &["wxyz$", "$"], [0, 0, 0, 0]);
        check("abcdefgh", &["yz"], "defgh", &["yz$"], [1, 3, 0, 0]);
        check("ab", &["123456789", "1"], "ab", &["123456", "1$"], [0, 0, 1, 4]);
        check("abcdefgh", &["123456789"], "efgh", &["1234"], [1, 4, 1, 6]);
    }

    #[test]
    fn prompts_leave_room_and_come_once() {
        let codec = codec(8);
        let rows = ["abcdefgh", "x", "abcdefgh"].map(|prompt| Row::Prompt(prompt.into()));
        let prompts = codec.prompts(&rows, 5).unwrap();
        assert_eq!(prompts.iter().map(|p| codec.tokenizer.decode(p)).collect::<Vec<_>>(), ["fgh", "x"]);
        let report = codec.cut_report().unwrap();
        assert!(report.starts_with("context of 8: of 2 rows, 1 prompts lost their beginning (5 tokens)"), "{report}");
        assert_eq!(codec.cut_report(), None, "told once");
    }

    #[test]
    fn every_token_of_the_texts_is_trained_once() {
        for context in 2..12 {
            let codec = codec(context);
            let windows = codec.windows_in_order(["abcde", "", "fgh"]);
            assert!(windows.iter().all(|window| (2..=context).contains(&window.tokens.len())));
            let trained: Vec<u32> = windows.iter().flat_map(|window| window.tokens[1..].to_vec()).collect();
            assert_eq!(codec.tokenizer.decode(&trained).replace("<|endoftext|>", "$"), "abcde$$fgh$");
            assert_eq!(windows[0].tokens[0], codec.eos);
        }
    }
}
