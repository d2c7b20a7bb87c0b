//! Table of contents of the integration tests.

mod data; // real files: every kind of row, token ids, cuts, the split by prompt
mod gpu; // a GPU for the tests that want one
mod gradcheck; // every op against finite differences
mod parity; // every kernel: plain loop in f64, CPU, GPU
mod tidy; // the rules of ARCHITECTURE.md that a test can check
