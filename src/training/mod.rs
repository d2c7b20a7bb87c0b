//! What is trained: models, how they are set up for it, the memory that it takes.

pub mod card;
pub mod loading;
pub mod memory;
mod models;
pub mod room;
mod setup;
pub mod tokenizer;

pub use models::{Model, config_of, drop_checkpoints};
pub use setup::Setup;
