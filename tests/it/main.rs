//! Table of contents of the integration tests.

mod gradcheck; // every op against finite differences
mod tidy; // the rules of ARCHITECTURE.md that a test can check
