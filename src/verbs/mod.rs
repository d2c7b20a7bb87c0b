//! One file a verb.

pub mod bench;
pub mod chat;
pub mod convert;
pub mod devices;
pub mod generate;
pub mod inspect;
pub mod merge;
mod options;
pub mod recipes;
pub mod report;
pub mod reward;
pub mod run;
pub mod score;
pub mod stage;
