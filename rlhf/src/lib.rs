//! rlhf: the losses and the loops.
//!
//! Three algorithms that read like the paper (Ouyang et al. 2022, InstructGPT): [`sft`], [`rm`], [`ppo`]; [`pretrain`]
//! makes what they start from. What their loops share is in [`train`], as functions; what they log is explained in
//! [`metrics`]; how their results are judged is in [`stats`].

pub mod data;
pub mod lm;
pub mod metrics;
pub mod ppo;
pub mod pretrain;
mod printable;
pub mod rm;
pub mod rollout;
pub mod sft;
pub mod stats;
pub mod train;
pub mod world;

pub use printable::printable;
