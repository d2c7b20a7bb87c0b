//! What a model is asked.

use crate::error::Result;
use rlhf_core::data::{Content, Processor};
use rlhf_core::world;

#[derive(Clone)]
pub struct Prompt {
    pub content: Content,
    /// What the model is given, for readers and judges.
    pub text: String,
    /// Worked examples to put before it for the few-shot base model.
    pub shots: String,
    /// What the judges know of it.
    pub task: Option<world::Prompt>,
}

impl Prompt {
    /// What the model is given, with room for an answer.
    pub fn ids(&self, processor: &Processor, room: usize) -> Result<Vec<u32>> {
        Ok(processor.with_room(processor.prompt_of(&self.content)?, room))
    }
}
