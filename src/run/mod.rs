//! The pipeline of `rlhf run`.

/// (name, meaning, healthy range) of every figure that a stage logs.
pub fn metric_texts() -> Vec<(&'static str, &'static str, &'static str)> {
    Vec::new()
}
