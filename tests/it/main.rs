//! Table of contents of the integration tests.
