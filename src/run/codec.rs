//! Text to the token ids that models read, within their context, and back.

use crate::recipe::sections::Tokenizer as Section;
use crate::template::Template;
use kernels::Rng;
use model::Tokenizer;
use rlhf_core::data::{Cuts, Example, Ranking};
use rlhf_core::pretrain;
use std::sync::{Mutex, MutexGuard};

/// What ends a text, an answer and a line of the corpus.
pub const END: &str = "<|endoftext|>";

pub struct Codec {
    pub tokenizer: Tokenizer,
    pub eos: u32,
    /// The most tokens that the models of the run read.
    pub context: usize,
    pub template: Template,
    cuts: Mutex<Cuts>,
}

/// A prompt with answers in the order of preference: lower ranks are better, equal ranks tie.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TextRanking {
    pub prompt: String,
    pub completions: Vec<String>,
    /// Which of them ended by themselves; all did when this is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<bool>,
    pub ranks: Vec<f32>,
}

impl Codec {
    /// Learns a byte-level BPE from the beginning of the texts.
    pub fn train<T: AsRef<str>>(texts: &[T], section: &Section, context: usize) -> Codec {
        let mut left = section.characters;
        let mut some = Vec::new();
        for text in texts.iter().map(AsRef::as_ref) {
            let end = text.char_indices().nth(left).map_or(text.len(), |(i, _)| i);
            left -= text[..end].chars().count();
            some.push(&text[..end]);
        }
        Codec::new(Tokenizer::train(some, section.vocab, &[END]), context, Template::Dialogue)
    }

    pub fn new(tokenizer: Tokenizer, context: usize, template: Template) -> Codec {
        let eos = tokenizer.eos();
        Codec { tokenizer, eos, context, template, cuts: Mutex::default() }
    }

    /// A prompt that leaves room for `room` more tokens: its beginning goes when it is too long.
    pub fn prompt(&self, text: &str, room: usize) -> Vec<u32> {
        let mut ids = self.start(text);
        let most = self.context.saturating_sub(room).max(2);
        self.cuts().fit_prompt(&mut ids, most, self.start_tokens());
        ids
    }

    fn start(&self, text: &str) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_start(text);
        if ids.is_empty() {
            ids.push(self.eos); // a text begins where another ended
        }
        ids
    }

    /// How many tokens stand before every text.
    fn start_tokens(&self) -> usize {
        usize::from(self.tokenizer.bos().is_some())
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
        let (mut prompt, mut completion) = (self.start(prompt), [self.completion(completion, true)]);
        self.cuts().fit(&mut prompt, &mut completion, self.context, self.start_tokens());
        Example::answer(&prompt, &completion[0])
    }

    pub fn demonstrations(&self, pairs: &[(String, String)]) -> Vec<Example> {
        pairs.iter().map(|(prompt, completion)| self.demonstration(prompt, completion)).collect()
    }

    pub fn ranking(&self, ranking: &TextRanking) -> Ranking {
        let ended = |i: usize| ranking.ended.get(i).copied().unwrap_or(true);
        let answers = ranking.completions.iter().enumerate();
        let mut completions: Vec<Vec<u32>> = answers.map(|(i, text)| self.completion(text, ended(i))).collect();
        let mut prompt = self.start(&ranking.prompt);
        self.cuts().fit(&mut prompt, &mut completions, self.context, self.start_tokens());
        Ranking { prompt, completions, ranks: ranking.ranks.clone() }
    }

    fn cuts(&self) -> MutexGuard<'_, Cuts> {
        self.cuts.lock().expect("no thread panics while it counts")
    }

    /// What did not fit into the context since the last call, if anything: to be told, never silent.
    pub fn cut_report(&self) -> Option<String> {
        let cuts = std::mem::take(&mut *self.cuts());
        cuts.any().then(|| format!("context of {}: {cuts}", self.context))
    }

    /// Documents laid end to end in a random order, each with its end, cut into windows of the context.
    pub fn windows(&self, documents: &[String], rng: Rng) -> Vec<Example> {
        let mut tokens = if self.tokenizer.bos().is_none() { vec![self.eos] } else { Vec::new() };
        for i in rng.permutation(documents.len()) {
            tokens.extend(self.tokenizer.encode_start(&documents[i]));
            tokens.push(self.eos);
        }
        pretrain::windows(&tokens, self.context)
    }

    pub fn text(&self, ids: &[u32]) -> String {
        let end = ids.iter().position(|&id| id == self.eos).unwrap_or(ids.len());
        self.tokenizer.decode(&ids[..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_told_and_has_no_end() {
        let tokenizer = Tokenizer::train(["no merges"], 257, &[END]);
        let codec = Codec::new(tokenizer, 8, Template::Dialogue);
        let whole = codec.demonstration("ab", " c");
        assert_eq!((whole.tokens.len(), whole.tokens.last()), (5, Some(&codec.eos)));
        assert_eq!(codec.cut_report(), None);

        let cut = codec.demonstration("ab", " cdefghi");
        assert_eq!(codec.tokenizer.decode(&cut.tokens), "ab cdefg");
        assert!(codec.cut_report().unwrap().contains("1 completions lost their end (3 tokens"));
        assert_eq!(codec.cut_report(), None, "told once");
        assert_eq!(codec.prompt("abcdefgh", 6).len(), 2);
    }
}
