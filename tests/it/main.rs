//! Table of contents of the integration tests.

mod tidy; // the rules of ARCHITECTURE.md that a test can check
