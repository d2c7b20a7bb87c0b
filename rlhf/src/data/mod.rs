//! Data: from files to rows, from rows to text, from text to token ids and what of them is trained.

mod batch;
mod codec;
mod cuts;
mod error;
mod formats;
mod inspect;
mod json;
mod read;
mod rows;
#[allow(missing_docs)] // of the engine only `Template` is seen
mod template;

pub use batch::{Batch, Example, windows};
pub use codec::Codec;
pub use cuts::Cuts;
pub use error::DataError;
pub use inspect::Inspection;
pub use json::{Json, Object};
pub use read::{
    DataFile, Part, Stream, Unused, files_of, is_data_folder, load, load_file, open_file, prompt_lines, read_text,
    stream, unused_report,
};
pub use rows::{
    Content, Conversation, Message, Place, Role, Row, demonstrations, prompts, rankings, split, texts, wanted,
};
pub use template::Template;

/// K answers to one prompt, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// its tokens
    pub prompt: Vec<u32>,
    /// [K] their tokens
    pub completions: Vec<Vec<u32>>,
    /// lower is better, ties allowed
    pub ranks: Vec<f32>,
}

impl Ranking {
    /// How many comparisons of one answer with another, and how many of them of answers that are the same.
    pub fn equal(&self) -> (usize, usize) {
        let k = self.completions.len();
        let pairs = (0..k).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|&(a, b)| self.ranks[a] != self.ranks[b]);
        pairs.fold((0, 0), |(all, equal), (a, b)| {
            (all + 1, equal + (self.completions[a] == self.completions[b]) as usize)
        })
    }
}
