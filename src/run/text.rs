//! What a run reads and writes as text, and the tokenizer that is learned from it.

use crate::error::Result;
use crate::recipe::sections::Tokenizer as Section;
use crate::rows::data_failure;
use model::Tokenizer;
use rlhf_core::data::{Codec, Ranking, Template};

/// What ends a text, an answer and a line of the corpus.
pub const END: &str = "<|endoftext|>";

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

impl TextRanking {
    pub fn encode(&self, codec: &Codec) -> Ranking {
        codec.ranking(&self.prompt, &self.completions, &self.ended, &self.ranks)
    }
}

/// Learns a byte-level BPE from the beginning of the texts.
pub fn learn<T: AsRef<str>>(texts: &[T], section: &Section) -> Tokenizer {
    let mut left = section.characters;
    let mut some = Vec::new();
    for text in texts.iter().map(AsRef::as_ref) {
        let end = text.char_indices().nth(left).map_or(text.len(), |(i, _)| i);
        left -= text[..end].chars().count();
        some.push(&text[..end]);
    }
    Tokenizer::train(some, section.vocab, &[END])
}

/// A codec of one of our own tokenizers and templates.
pub fn own(tokenizer: Tokenizer, context: usize, template: Template) -> Result<Codec> {
    Codec::new(tokenizer, context, template, &[]).map_err(data_failure)
}
