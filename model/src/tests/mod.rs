//! Tests of this crate by itself.
