//! What is trained: models, how they are set up for it, the memory that it takes.

pub mod card;
pub mod loading;
pub mod memory;
mod models;
pub mod room;
mod setup;
pub mod tokenizer;

pub use models::{as_score, config_of, drop_checkpoints, fresh, load, save, save_beside};
pub use setup::Setup;
