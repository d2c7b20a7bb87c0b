//! `RLHF_SIMD` and `RLHF_THREADS`: all that kernels read of the environment.
//!
//! The command could read them, but what they are for runs without one: the tests of this crate and the benches, on
//! another instruction set or on fewer threads.

use std::ffi::OsString;

/// What `variable` asks for; `None` where it is not set, or empty.
pub fn wish(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|wish| !wish.is_empty())
}
