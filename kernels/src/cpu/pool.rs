//! Memory that is handed round instead of freed, so that a training loop in its steady state touches
//! no new pages.
use std::ops::{Deref, DerefMut};

/// `len` numbers with unspecified contents.
pub fn take(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

/// A vector that returns to the pool when dropped.
pub struct Pooled(Vec<f32>);

impl From<Vec<f32>> for Pooled {
    fn from(data: Vec<f32>) -> Pooled {
        Pooled(data)
    }
}

impl Deref for Pooled {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Pooled {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
