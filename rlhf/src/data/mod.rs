//! Data: from files to rows, from rows to text, from text to token ids and what of them is trained.

mod batch;
mod error;
mod formats;
mod inspect;
mod read;
mod rows;
mod template;

pub use batch::{Batch, Example, cut};
pub use error::DataError;
pub use inspect::Inspection;
pub use read::{DataFile, load, load_file};
pub use rows::{Content, Message, Role, Row, demonstrations, prompts, rankings, split, texts};
pub use template::{Cuts, Encoder, chunks, completion_text, prompt_text};

/// K answers to one prompt, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub prompt: Vec<u32>,
    pub completions: Vec<Vec<u32>>,
    /// lower is better, ties allowed
    pub ranks: Vec<f32>,
}
