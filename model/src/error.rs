//! What can go wrong between this crate and the world: which file, what was expected, what to do.
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    /// A file that is not what it should be. `problem` says what was expected, `remedy` what to do.
    #[error("{}: {problem}. {remedy}", path.display())]
    File { path: PathBuf, problem: String, remedy: String },
    /// Something asked of a model that it cannot do.
    #[error("{problem}. {remedy}")]
    Request { problem: String, remedy: String },
    /// What comes out of a model is no number.
    #[error(
        "{what} is not finite: there is NaN or infinity in the model's weights, or they have grown too large for f32. \
         Take a model that was saved before it diverged"
    )]
    NotFinite { what: String },
}

pub type Result<T, E = ModelError> = std::result::Result<T, E>;

impl ModelError {
    pub fn file(path: &Path, problem: impl Into<String>, remedy: impl Into<String>) -> ModelError {
        ModelError::File { path: path.into(), problem: problem.into(), remedy: remedy.into() }
    }

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
