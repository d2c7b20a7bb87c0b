//! Data: from files to rows, from rows to text, from text to token ids and what of them is trained.

mod batch;
mod codec;
mod cuts;
mod error;
mod formats;
mod inspect;
mod read;
mod rows;
mod template;

pub use batch::{Batch, Example, cut};
pub use codec::Codec;
pub use cuts::Cuts;
pub use error::DataError;
pub use inspect::Inspection;
pub use read::{DataFile, Part, files_of, is_data_folder, load, load_file, stream};
pub use rows::{Content, Message, Role, Row, demonstrations, prompts, rankings, split, texts, wanted};
pub use template::Template;

/// K answers to one prompt, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub prompt: Vec<u32>,
    pub completions: Vec<Vec<u32>>,
    /// lower is better, ties allowed
    pub ranks: Vec<f32>,
}
