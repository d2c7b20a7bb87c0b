//! Data: from files to rows, from rows to text, from text to token ids and what of them is trained.

mod batch;
mod cuts;
mod error;
mod formats;
mod inspect;
mod json;
mod place;
mod processor;
mod ranking;
mod read;
mod rows;
#[allow(missing_docs)] // of the engine only `Template` is seen
mod template;
mod wanted;

pub use batch::{Batch, Example, windows};
pub use cuts::Cuts;
pub use error::DataError;
pub use inspect::Inspection;
pub use json::{Json, Object};
pub use place::Place;
pub use processor::Processor;
pub use ranking::Ranking;
pub use read::{
    DataFile, Part, Stream, Unused, files_of, is_data_folder, load, load_file, open_file, prompt_lines, read_text,
    stream, unused_report,
};
pub use rows::{Content, Conversation, Message, Role, Row};
pub use template::Template;
pub use wanted::{demonstrations, prompts, rankings, split, texts, wanted};
