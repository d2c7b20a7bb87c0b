//! Data: sequences and rankings as token ids.

mod batch;

pub use batch::{Batch, Example, cut};

/// K answers to one prompt, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    pub prompt: Vec<u32>,
    pub completions: Vec<Vec<u32>>,
    /// lower is better, ties allowed
    pub ranks: Vec<f32>,
}
