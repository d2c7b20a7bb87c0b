//! The network: what it is made of ([`config`]), what it computes ([`transformer`], of `layers` and `block`s), with
//! its numbers ([`model`]), under another head (`heads`), with adapters ([`adapter`]); how it writes on ([`engine`],
//! over a [`cache`]; [`mod@generate`]), and what it says of given text ([`score`]). It knows no file, and none of these
//! files knows one that knows it.
pub mod adapter;
pub(crate) mod block;
pub mod cache;
pub mod config;
pub mod engine;
pub mod generate;
mod heads;
pub(crate) mod layers;
pub mod model;
pub mod rope;
pub mod score;
pub mod transformer;
