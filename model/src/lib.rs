//! model: one transformer.
