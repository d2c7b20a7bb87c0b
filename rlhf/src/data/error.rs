//! What can be wrong with data.

use std::path::PathBuf;

use super::place::Place;

/// Why data could not be read. Lines count from 1.
#[allow(missing_docs)] // each says what it is in its message
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is a gzip file that ends too early or is damaged (after line {line}): {source}")]
    Gzip { path: PathBuf, line: usize, source: std::io::Error },
    #[error("{path}:{line}: the line is longer than {limit} bytes; one row a line is expected")]
    LongLine { path: PathBuf, line: usize, limit: usize },
    #[error("{path} is larger than {limit} bytes when unpacked")]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{path}:{line}: not UTF-8 (byte {column} of the line)")]
    Encoding { path: PathBuf, line: usize, column: usize },
    #[error("{path}:{line}: broken JSON: {reason}")]
    Json { path: PathBuf, line: usize, reason: String },
    #[error("{path}:{line}: no kind of row has the columns {found}. Expected one of:\n{expected}")]
    Columns { path: PathBuf, line: usize, found: String, expected: String },
    #[error("{path}:{line}: {reason}")]
    Field { path: PathBuf, line: usize, reason: String },
    #[error("{path} has no rows")]
    Empty { path: PathBuf },
    #[error("{path}: files that end in .jsonl, .json, .txt (each also with .gz) or .parquet can be read")]
    Extension { path: PathBuf },
    #[error("{path}: Parquet is read by programs built with the feature parquet: cargo install --features parquet")]
    NoParquet { path: PathBuf },
    #[error("{path}: broken Parquet (row {row}): {reason}")]
    Parquet { path: PathBuf, row: usize, reason: String },
    #[error("{path}: its weight is {weight:?}, expected a number from 0 to 1000, such as {path}=0.5")]
    Weight { path: PathBuf, weight: String },
    #[error(
        "{path} is a folder with no data in it: expected a file whose name begins with {expected}, such as train.jsonl"
    )]
    Folder { path: PathBuf, expected: String },
    #[error(transparent)]
    Model(model::ModelError),
    #[error("the chat template in {path} cannot be used: {reason}")]
    Template { path: PathBuf, reason: String },
    #[error(
        "{place}: the model's chat template cannot write this conversation: {reason}. Change the row, or leave it out \
         (the template is in {path})"
    )]
    Refused { place: String, path: PathBuf, reason: String },
    #[error("{rows} {kind}, and nothing is left of them to learn from: {reason}")]
    Lost { kind: &'static str, rows: usize, reason: String },
    #[error("no {wanted} among the {rows} rows ({found}). Expected rows with one of:\n{expected}")]
    Kind { wanted: &'static str, rows: usize, found: String, expected: String },
}

impl DataError {
    /// What the template says against one row, with the place of that row.
    pub fn at(self, place: &Place) -> DataError {
        match (self, place.name()) {
            (DataError::Template { path, reason }, Some(place)) => DataError::Refused { place, path, reason },
            (error, _) => error,
        }
    }
}
