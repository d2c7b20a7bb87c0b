//! Tests of this crate by itself: files, generation, checkpoints.
