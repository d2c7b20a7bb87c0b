//! The network: what it is made of, what it computes, how it writes on. It knows no file.
pub mod cache;
pub mod config;
pub mod generate;
pub mod heads;
pub mod rope;
pub mod score;
pub mod transformer;
