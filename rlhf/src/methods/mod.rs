//! The methods, one file each: the configuration, the loss, the loop.
//!
//! A method's `Config` is the one place of its keys: a field with its doc comment (the help of flag and key), its
//! default and its range. Keys that several methods have are [`groups`].

pub mod groups;
pub mod ppo;
pub mod pretrain;
pub mod rm;
pub mod sft;
