//! One file a verb.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod devices;
pub mod generate;
pub mod inspect;
pub mod manual;
pub mod merge;
mod options;
pub mod recipes;
pub mod report;
pub mod reward;
pub mod run;
pub mod score;
pub mod stage;
mod writing;

use clap::Args;
use std::path::{Path, PathBuf};

/// The model of a verb: its first word, or a flag.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct ModelArg {
    /// A model: a directory, a .gguf file, or org/name on the hub
    #[arg(value_name = "MODEL")]
    word: Option<PathBuf>,
    /// The same
    #[arg(short, long, value_name = "MODEL")]
    model: Option<PathBuf>,
}

impl ModelArg {
    pub fn path(&self) -> &Path {
        self.word.as_ref().or(self.model.as_ref()).expect("clap requires one of them")
    }
}
