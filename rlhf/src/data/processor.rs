//! Rows and texts to the token ids that a model reads, within its context, and back. Which of them are trained is said
//! here and nowhere else.
//!
//! Strings are used as they are; messages are written by the model's [`Template`]. A completion ends with the end of
//! turn of the template, or with the end token where the template writes none. What is too long for the context is cut
//! and counted: a prompt loses its beginning, a completion or a conversation its end.

mod conversations;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use kernels::Rng;
use model::Tokenizer;

use super::batch::{self, Example};
use super::cuts::Cuts;
use super::error::DataError;
use super::ranking::Ranking;
use super::rows::{Content, Conversation, Message, Role, Row};
use super::template::{Template, after_prompt};
use super::wanted;

/// A processor: tokenizer and chat template, and the context that everything must fit.
pub struct Processor {
    /// text to tokens and back
    pub tokenizer: Tokenizer,
    /// The token that ends a text.
    pub eos: u32,
    /// Every token that ends a completion.
    pub eos_ids: Vec<u32>,
    /// The most tokens that the models read.
    pub context: usize,
    /// Tokens that the models know: less than the tokenizer where it has control tokens that nobody has trained.
    pub rows: usize,
    /// messages to text
    pub template: Template,
    /// How the template ends a turn of the assistant: text that ends in a control token.
    turn_end: Option<String>,
    /// Strings of rows are turns of user and assistant, which the template writes.
    pub chat: bool,
    cuts: Mutex<Cuts>,
    /// What else is to be told of rows, and of how many.
    notes: Mutex<BTreeMap<String, usize>>,
}

impl Processor {
    /// `ends`: what the model's own files say ends a completion.
    pub fn new(
        tokenizer: Tokenizer,
        context: usize,
        mut template: Template,
        ends: &[u32],
    ) -> Result<Processor, DataError> {
        let eos = tokenizer.eos();
        let name = |id: u32| String::from_utf8_lossy(tokenizer.piece(id)).into_owned();
        template.name("eos_token", &name(eos));
        if let Some(bos) = tokenizer.bos() {
            template.name("bos_token", &name(bos));
        }
        let names: Vec<&str> = tokenizer.control_names().collect();
        let turn_end = template.turn_end(&names)?;
        let mut all = ends.to_vec();
        let last = turn_end.as_deref().and_then(|end| tokenizer.encode_with_special(end).last().copied());
        for end in [Some(eos), last].into_iter().flatten() {
            if !all.contains(&end) {
                all.push(end);
            }
        }
        let rows = tokenizer.vocab_size();
        let (cuts, notes) = (Mutex::default(), Mutex::default());
        Ok(Processor { tokenizer, eos, eos_ids: all, context, rows, template, turn_end, chat: false, cuts, notes })
    }

    /// The tokens at whose place a completion is scored: those that it ends with.
    pub fn scored_at(&self) -> Vec<u32> {
        let turn = self.turn_end.as_deref().and_then(|end| self.tokenizer.encode_with_special(end).last().copied());
        [Some(self.eos), turn].into_iter().flatten().collect()
    }

    /// What `transformers` shall fill batches for a reward model with: it reads the score before the last such tokens, so
    /// none that a completion ends with, nor that a template writes. The one that the model's files name, if it may be;
    /// or one that is called so, or that ends texts and not completions; or none.
    pub fn padding(&self, said: Option<u32>) -> Option<u32> {
        let ends = self.scored_at();
        let fits = |id: &u32| (*id as usize) < self.rows && !ends.contains(id);
        if let Some(said) = self.tokenizer.pad().or(said).filter(fits) {
            return Some(said);
        }
        let free = |id: u32, name: &str| {
            fits(&id)
                && Some(id) != self.tokenizer.bos()
                && self.tokenizer.is_control(id)
                && !self.template.writes(name)
        };
        let controls: Vec<(u32, &str)> = self.tokenizer.controls().filter(|&(id, name)| free(id, name)).collect();
        let called = |name: &str| name.to_lowercase().contains("pad");
        let end = |name: &str| ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"].contains(&name);
        let found = controls.iter().find(|one| called(one.1)).or_else(|| controls.iter().find(|one| end(one.1)));
        found.map(|&(id, _)| id)
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

    /// A completion; one that was cut off has no end to read the score at but its last token.
    fn completion(&self, text: &str, ended: bool) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_more(text);
        if ended || ids.is_empty() {
            ids.push(self.eos);
        }
        ids
    }

    /// A demonstration: the loss is on the completion and its end alone.
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
        Example::completion(&prompt, &completion[0])
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

    /// Something to be told of a row.
    fn note(&self, what: String) {
        *self.notes.lock().expect("no thread panics while it counts").entry(what).or_default() += 1;
    }

    /// What there is to tell of the rows since the last call, and of how many of them.
    pub fn take_notes(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.notes.lock().expect("no thread panics while it counts"))
    }

    /// What of the rows was cut, and what else is to be told of them, if anything: nothing is dropped in silence.
    pub fn cut_report(&self) -> Option<String> {
        let cuts = self.take_cuts();
        let cuts = cuts.any().then(|| format!("context of {}: {cuts}", self.context));
        let notes = self.take_notes().into_iter().map(|(what, count)| format!("in {count} rows {what}"));
        let told: Vec<String> = cuts.into_iter().chain(notes).collect();
        (!told.is_empty()).then(|| told.join("\n"))
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
        batch::windows(&tokens, self.context)
    }

    /// What a completion says: up to its end.
    pub fn text(&self, ids: &[u32]) -> String {
        let end = ids.iter().position(|id| self.eos_ids.contains(id)).unwrap_or(ids.len());
        self.tokenizer.decode(&ids[..end])
    }
}

/// Rows, whose messages the template writes.
impl Processor {
    /// For SFT: what a row shows, none if it shows nothing. A conversation is one sequence with all its completions
    /// trained, or one for each completion where the template writes it differently once it goes on.
    pub fn demonstrations_of(&self, row: &Row) -> Result<Vec<Example>, DataError> {
        let uncut = match row {
            Row::Messages(_) | Row::Demonstration { .. } | Row::Labelled { good: true, .. } => self.uncut(row)?,
            _ => vec![],
        };
        let all = uncut.len();
        let mut examples: Vec<Example> = uncut.into_iter().map(|(example, prompt)| self.cut(example, prompt)).collect();
        examples.retain(|example| example.weights.iter().any(|&weight| weight != 0.0));
        self.cuts().untrained += all - examples.len();
        if examples.iter().any(|example| example.weights.iter().filter(|&&weight| weight != 0.0).count() == 1) {
            self.note("a completion is empty: only its end is trained".into());
        }
        Ok(examples)
    }

    /// Examples of which the completion is trained, of rows that have one.
    pub fn demonstrations(&self, rows: &[Row]) -> Result<Vec<Example>, DataError> {
        let found = rows.iter().map(|row| self.demonstrations_of(row)).collect::<Result<Vec<_>, _>>()?;
        self.wanted("demonstrations", rows, found.concat())
    }

    /// What was found in rows, or an error that says what took it.
    pub fn wanted<T>(&self, wanted: &'static str, rows: &[Row], found: Vec<T>) -> Result<Vec<T>, DataError> {
        let given = rows.iter().filter(|row| row.gives() == wanted).count();
        if !found.is_empty() || given == 0 {
            return wanted::wanted(wanted, rows, found);
        }
        let bad = rows.iter().filter(|row| matches!(row, Row::Labelled { good: false, .. })).count();
        let silent = |row: &&Row| match row {
            Row::Messages(talk) => !talk.iter().skip(1).any(|m| m.role == Role::Assistant && m.trained),
            _ => false,
        };
        let silent = rows.iter().filter(silent).count();
        let Cuts { longest, equal, untrained, .. } = self.take_cuts();
        let mut reasons = vec![];
        if bad > 0 {
            reasons.push(format!("{bad} are labelled as bad completions"));
        }
        if silent > 0 {
            reasons.push(format!("{silent} have no completion of the assistant with a weight above 0"));
        }
        if equal > 0 {
            reasons.push(format!("{equal} pairs are equal once they are cut to the context of {}", self.context));
        }
        if longest > self.context && untrained > silent {
            reasons.push(format!(
                "{} lost their completion to the context of {} tokens (the longest has {longest}); raise --context, or shorten \
                 them",
                untrained - silent,
                self.context
            ));
        } else if longest > self.context {
            reasons.push(format!("the longest has {longest} tokens, the context {}", self.context));
        }
        if reasons.is_empty() {
            reasons.push("they have only ties, or no completions".into());
        }
        Err(DataError::Lost { kind: wanted, rows: given, reason: reasons.join("; ") })
    }

    /// The row's ranking, if it is one; each completion ends with its end token.
    pub fn ranking_of(&self, row: &Row) -> Result<Option<Ranking>, DataError> {
        let row = &*self.spoken(row);
        let Row::Ranked { prompt, completions, ranks } = row else { return Ok(None) };
        self.note_bare(row);
        let untrained =
            |content: &Content| matches!(content, Content::Messages(talk) if talk.iter().any(|m| !m.trained));
        if completions.iter().any(untrained) {
            self.note("a message of weight 0 is compared all the same: weights are of demonstrations".into());
        }
        let pairs = completions.iter().map(|completion| self.pair(prompt, completion));
        let (prompts, completions): (Vec<_>, Vec<_>) = pairs.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let prompt = prompts.into_iter().next().expect("a ranking has completions");
        Ok(Some(self.fitted_ranking(prompt, completions, ranks)))
    }

    /// Completions with their ranks, of rows that compare some.
    pub fn rankings(&self, rows: &[Row]) -> Result<Vec<Ranking>, DataError> {
        let found = rows.iter().filter_map(|row| self.ranking_of(row).transpose()).collect::<Result<Vec<_>, _>>()?;
        wanted::wanted("rankings", rows, found)
    }

    /// For the reward model: the rankings that compare something. Completions that are the same once they are cut say
    /// nothing; such pairs are counted, and rankings of nothing else left out.
    pub fn comparisons(&self, rows: &[Row]) -> Result<Vec<Ranking>, DataError> {
        let mut found = vec![];
        for row in rows {
            let Some(ranking) = self.ranking_of(row)? else { continue };
            let (all, equal) = ranking.equal();
            let mut cuts = self.cuts();
            cuts.comparisons += all;
            cuts.equal += equal;
            if equal < all || equal == 0 {
                found.push(ranking);
            }
        }
        self.wanted("rankings", rows, found)
    }

    /// For PPO: every prompt of the rows, once, with room for a completion of `room` tokens.
    pub fn prompts(&self, rows: &[Row], room: usize) -> Result<Vec<Vec<u32>>, DataError> {
        let spoken: Vec<Row> = rows.iter().map(|row| self.spoken(row).into_owned()).collect();
        spoken.iter().for_each(|row| self.note_bare(row));
        wanted::prompts(&spoken)?.iter().map(|prompt| Ok(self.with_room(self.prompt_of(prompt)?, room))).collect()
    }

    /// The row, in turns if its strings shall be.
    fn spoken<'a>(&self, row: &'a Row) -> Cow<'a, Row> {
        if self.chat && row.is_bare() { Cow::Owned(row.clone().in_turns()) } else { Cow::Borrowed(row) }
    }

    fn note_bare(&self, row: &Row) {
        if row.is_bare() && self.template.is_models() {
            self.note(
                "strings are used as they are, without the model's chat template; --chat makes prompt and completion turns of \
                 user and assistant"
                    .into(),
            );
        }
    }

    /// Every sequence that a row gives, whatever it is good for and however long.
    pub fn sequences_of(&self, row: &Row) -> Result<Vec<Example>, DataError> {
        Ok(self.uncut(row)?.into_iter().map(|(example, _)| example).collect())
    }

    /// The same, and how many tokens of each are a prompt, which loses its beginning when it is too long.
    fn uncut(&self, row: &Row) -> Result<Vec<(Example, usize)>, DataError> {
        let row = &*self.spoken(row);
        self.note_bare(row);
        let example = |prompt: &Content, completion: &Content| {
            let (prompt, completion) = self.pair(prompt, completion)?;
            Ok((Example::completion(&prompt, &completion), prompt.len()))
        };
        match row {
            Row::Text(text) => Ok(vec![(Example::text(self.start(text)), 0)]),
            Row::Prompt(prompt) => {
                let prompt = self.prompt_of(prompt)?;
                Ok(vec![(Example::completion(&prompt, &[]), prompt.len())])
            }
            Row::Messages(talk) => self.placed(talk, || {
                self.note_unwritten(talk)?;
                self.conversation(talk)
            }),
            // a completion of several turns, not all of them trained
            Row::Demonstration { prompt: Content::Messages(before), completion: Content::Messages(after) }
                if after.iter().any(|message| !message.trained) =>
            {
                let unlearned = before.iter().map(|message| Message { trained: false, ..message.clone() });
                let talk = before.with(unlearned.chain(after.iter().cloned()).collect());
                self.uncut(&Row::Messages(talk))
            }
            Row::Demonstration { prompt, completion } | Row::Labelled { prompt, completion, .. } => {
                Ok(vec![example(prompt, completion)?])
            }
            Row::Ranked { prompt, completions, .. } => completions.iter().map(|one| example(prompt, one)).collect(),
        }
    }

    fn cut(&self, mut example: Example, prompt: usize) -> Example {
        if prompt > 0 {
            let completion = example.tokens.split_off(prompt);
            return self.fitted(example.tokens, completion);
        }
        let mut cuts = self.cuts();
        cuts.rows += 1;
        cuts.longest = cuts.longest.max(example.tokens.len());
        cuts.cut_end(&mut example.tokens, self.context);
        example.weights.truncate(self.context);
        example
    }

    /// The ids that a model is given to complete.
    pub fn prompt_of(&self, prompt: &Content) -> Result<Vec<u32>, DataError> {
        match prompt {
            Content::Text(text) => Ok(self.start(text)),
            Content::Messages(talk) => self.placed(talk, || {
                self.note_unwritten(talk)?;
                self.opening(talk)
            }),
        }
    }

    /// What `make` makes, or its error with the place that the conversation is from.
    fn placed<T>(&self, talk: &Conversation, make: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
        make().map_err(|error| error.at(&talk.place))
    }

    /// Prompt and completion, uncut.
    fn pair(&self, prompt: &Content, completion: &Content) -> Result<(Vec<u32>, Vec<u32>), DataError> {
        match (prompt, completion) {
            (Content::Messages(before), Content::Messages(after)) => self.placed(before, || {
                self.note_unwritten(&before.with(after_prompt(before, after)))?;
                self.pair_of_turns(before, after)
            }),
            (_, Content::Text(text)) => Ok((self.prompt_of(prompt)?, self.completion(text, true))),
            (Content::Text(text), Content::Messages(_)) => {
                Err(self.template.fault(format!("the prompt {text:?} is a string, its completion is not")))
            }
        }
    }
}
