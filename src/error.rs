//! What went wrong, in one paragraph, and the exit code that says which kind of thing it was.

use model::{ModelError, TokenizerError};
use rlhf_core::data::DataError;
use rlhf_core::train::TrainError;
use std::fmt::Display;
use std::path::Path;

/// The exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A wrong flag or recipe, or an output folder that cannot be used.
    Usage = 2,
    /// A data file that is missing or that does not say what it should.
    Data = 3,
    /// No such device, or not enough memory on it.
    Device = 4,
    /// Training gave numbers that are not finite.
    Diverged = 5,
    /// A model file or a checkpoint that is missing, damaged or of another shape.
    Model = 6,
    /// Ctrl-C: the step was finished and saved.
    Stopped = 130,
}

/// A message for the user (what happened, where, what to do), and its exit code.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Usage, message)
    }

    pub fn data(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Data, message)
    }

    pub fn model(message: impl Into<String>) -> Failure {
        Failure::new(Kind::Model, message)
    }

    /// A file that could not be written: the out folder is the user's choice, so it is a usage error.
    pub fn write(path: &Path, error: impl Display) -> Failure {
        Failure::usage(format!(
            "cannot write {}: {error}. Choose a folder that can be written with --out, or free some space.",
            path.display()
        ))
    }

    /// The same failure, saying first what was being done.
    pub fn context(mut self, doing: impl Display) -> Failure {
        self.message = format!("{doing}: {}", self.message);
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// An error and all that caused it on one line: one paragraph, never a backtrace.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        source = cause.source();
    }
    line
}

/// A model file's error as an exit code and one paragraph.
pub fn library_failure(error: impl std::error::Error) -> Failure {
    Failure::new(Kind::Model, chain(&error))
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Failure {
        library_failure(error)
    }
}

impl From<TokenizerError> for Failure {
    fn from(error: TokenizerError) -> Failure {
        library_failure(error)
    }
}

/// Of a training loop.
impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Failure {
        let kind = match &error {
            TrainError::Diverged { .. } | TrainError::SelfCheck(_) => Kind::Diverged,
            TrainError::Stopped { .. } => Kind::Stopped,
            TrainError::Data(_) => Kind::Data,
            TrainError::Config(_) => Kind::Usage,
            TrainError::Checkpoint(_) => Kind::Model,
        };
        Failure::new(kind, chain(&error))
    }
}

/// Of a data file.
impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        Failure::data(lines.join("; ").replace(":; ", ": "))
    }
}
