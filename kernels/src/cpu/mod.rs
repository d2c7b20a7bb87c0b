//! What the fast CPU code of every kernel stands on.
//!
//! - [`thread_pool`]: the threads
//! - `par`: work over all of them, cut in pieces that depend on shapes alone, so that a result has the same bits
//!   however many threads there are
//! - [`simd`]: which vector instructions this machine has, and a macro that compiles one loop for each of them
//! - `math`: exp, ln, sigmoid and sums in a form that compilers turn into vector code
//! - `philox`: sixteen blocks of the random generator at a time
//! - `pool`: the memory pool: vectors used again, so that a step touches no page for the first time
//! - `gemm`: the matrix product
//! - `wishes`: what tests and benches ask for in the environment
//!
//! All `unsafe` of the CPU side is in this folder.

pub(crate) mod gemm;
pub(crate) mod math;
pub(crate) mod par;
pub(crate) mod philox;
pub(crate) mod pool;
pub mod roof;
pub mod simd;
#[cfg(test)]
pub(crate) mod test;
pub mod thread_pool;
mod wishes;
