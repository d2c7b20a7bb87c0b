//! Text to the token ids that models read, within their context, and back.

use crate::recipe::sections::Tokenizer as Section;
use crate::template::Template;
use kernels::Rng;
use model::Tokenizer;
use rlhf_core::data::{Example, Ranking};
use rlhf_core::pretrain;

/// What ends a text, an answer and a line of the corpus.
pub const END: &str = "<|endoftext|>";

pub struct Codec {
    pub tokenizer: Tokenizer,
    pub eos: u32,
    /// The most tokens that the models of the run read.
    pub context: usize,
    pub template: Template,
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
        Codec { tokenizer, eos, context, template }
    }

    /// A prompt that leaves room for `room` more tokens: its beginning goes when it is too long.
    pub fn prompt(&self, text: &str, room: usize) -> Vec<u32> {
        let ids = self.tokenizer.encode(text);
        let bos = self.tokenizer.bos();
        let most = self.context.saturating_sub(room + usize::from(bos.is_some())).max(1);
        let kept = &ids[ids.len().saturating_sub(most)..];
        let mut ids: Vec<u32> = bos.into_iter().chain(kept.iter().copied()).collect();
        if ids.is_empty() {
            ids.push(self.eos); // a text begins where another ended
        }
        ids
    }

    /// An answer with its end, cut to at most half of the context.
    pub fn completion(&self, text: &str) -> Vec<u32> {
        let mut ids = self.tokenizer.encode_more(text);
        ids.truncate((self.context / 2).max(2) - 1);
        ids.push(self.eos);
        ids
    }

    /// A demonstration: the loss is on the answer and its end alone.
    pub fn demonstration(&self, prompt: &str, completion: &str) -> Example {
        let completion = self.completion(completion);
        let prompt = self.prompt(prompt, completion.len());
        Example::answer(&prompt, &completion)
    }

    pub fn demonstrations(&self, pairs: &[(String, String)]) -> Vec<Example> {
        pairs.iter().map(|(prompt, completion)| self.demonstration(prompt, completion)).collect()
    }

    pub fn ranking(&self, ranking: &TextRanking) -> Ranking {
        let ended = |i: usize| ranking.ended.get(i).copied().unwrap_or(true);
        let answer = |(i, text): (usize, &String)| {
            let mut ids = self.completion(text);
            if !ended(i) && ids.len() > 1 {
                ids.pop(); // an answer that was cut off has no end to read the score at but its last token
            }
            ids
        };
        let completions: Vec<Vec<u32>> = ranking.completions.iter().enumerate().map(answer).collect();
        let longest = completions.iter().map(Vec::len).max().unwrap_or(0);
        Ranking { prompt: self.prompt(&ranking.prompt, longest), completions, ranks: ranking.ranks.clone() }
    }

    /// Documents laid end to end in a random order, each with its end, cut into windows of the context.
    pub fn windows(&self, documents: &[String], rng: Rng) -> Vec<Example> {
        let mut tokens = vec![self.eos];
        for i in rng.permutation(documents.len()) {
            tokens.extend(self.tokenizer.encode(&documents[i]));
            tokens.push(self.eos);
        }
        pretrain::windows(&tokens, self.context)
    }

    pub fn text(&self, ids: &[u32]) -> String {
        let end = ids.iter().position(|&id| id == self.eos).unwrap_or(ids.len());
        self.tokenizer.decode(&ids[..end])
    }
}
