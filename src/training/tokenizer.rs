//! A tokenizer of our own, learned from the text that is trained on.

use crate::config::sections::Tokenizer as Section;
use crate::error::{Failure, Result};
use model::Tokenizer;
use rlhf_core::data::{Processor, Template};

/// What ends a text, an answer and a line of the corpus.
pub const END: &str = "<|endoftext|>";

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

/// A processor of one of our own tokenizers and templates.
pub fn own(tokenizer: Tokenizer, context: usize, template: Template) -> Result<Processor> {
    Processor::new(tokenizer, context, template, &[]).map_err(Failure::from)
}
