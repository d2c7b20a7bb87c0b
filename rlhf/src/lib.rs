//! rlhf: the losses and the loops.
//!
//! Three algorithms that read like the paper (Ouyang et al. 2022, InstructGPT): [`methods::sft`], [`methods::rm`],
//! [`methods::ppo`]; [`methods::pretrain`] makes what they start from. What their loops share is in [`train`], as
//! functions; what they log is explained in [`metrics`]; how their results are judged is in [`stats`].

#![warn(missing_docs)]
#![allow(rustdoc::broken_intra_doc_links)] // [T] is a shape, not a link

pub mod advantage;
pub mod data;
mod episode;
pub mod lm;
pub mod methods;
pub mod metrics;
mod minibatch;
mod printable;
pub mod range;
pub mod rewards;
pub mod rollout;
mod self_check;
pub mod stats;
pub mod train;
#[allow(missing_docs)] // words and facts, which say themselves what they are
pub mod world;

pub use printable::printable;
