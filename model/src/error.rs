//! What can go wrong between this crate and the world: which file, what was expected, what to do.
use std::io;
use std::path::{Path, PathBuf};

/// Error of a model or its files: a paragraph that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The system refused to read or write.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read`, `rename into place`, …
        doing: &'static str,
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is not what it should be.
    #[error("{}: {problem}. {remedy}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What it is, and what was expected.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// Something asked of a model that it cannot do.
    #[error("{problem}. {remedy}")]
    Request {
        /// What does not go.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// What comes out of a model is no number.
    #[error(
        "{what} is not finite: there is NaN or infinity in the model's weights, or they have grown too large for f32. \
         Take a model that was saved before it diverged"
    )]
    NotFinite {
        /// Which number.
        what: String,
    },
}

/// Result of what may end in a [`ModelError`].
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

impl ModelError {
    /// A file that is not what it should be.
    pub fn file(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> ModelError {
        ModelError::File { path: path.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// Something asked of a model that it cannot do.
    pub fn request(problem: impl Into<String>, remedy: impl Into<String>) -> ModelError {
        ModelError::Request { problem: problem.into(), remedy: remedy.into() }
    }
}

/// `fs::read(path).at("read", path)?`
pub(crate) trait At<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| ModelError::Io { doing, path: path.into(), source })
    }
}
