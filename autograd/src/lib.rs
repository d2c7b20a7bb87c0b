//! Remembers the way back: values that know their gradients, parameters, optimizers.
//!
//! Read in this order: [`tape`] (what a `Var` is, how an op gets onto the tape and off again),
//! [`params`] (one flat buffer of named slots; [`grads`] of the same layout; [`base`] for what does not learn;
//! [`weights`] for both as a forward pass sees them), [`ops`] (forward and backward of each op in one function),
//! [`optim`] (AdamW over the flat buffer), [`check`] (finite differences against the tape).
//!
//! The whole crate in a few lines:
//!
//! ```
//! use autograd::{AdamW, AdamWConfig, Init, ParamsBuilder, Var, ops};
//! use kernels::{Device, Rng, Tensor};
//!
//! let mut builder = ParamsBuilder::default();
//! let w = builder.add("w", &[1, 2], Init::Zeros, true, Rng::new(0));
//! let mut params = builder.build(&Device::Cpu);
//!
//! // y = x wᵀ should be 1 for x = (1, 1) and 3 for x = (3, -1)
//! let x = Var::from(Tensor::new(&[2, 2], vec![1.0, 1.0, 3.0, -1.0]));
//! let want = Var::from(Tensor::new(&[2, 1], vec![1.0, 3.0]));
//! let mut adamw = AdamW::new(AdamWConfig::default(), &params);
//! let mut grads = params.grads();
//! let mut last = f32::MAX;
//! for _ in 0..200 {
//!     grads.zero(); // gradients accumulate; zeroing is explicit
//!     (last, ()) = params.backprop(&mut grads, |weights| {
//!         let y = ops::linear(&x, &weights[w], None);
//!         (ops::sum(&ops::square(&(y - want.clone()))), ())
//!     });
//!     adamw.step(&mut params, &grads, 0.05, Some(1.0)).unwrap();
//! }
//! assert!(last < 1e-3);
//! ```

#![warn(missing_docs)]
#![allow(rustdoc::broken_intra_doc_links)] // [N] is a shape, not a link

pub mod base;
pub mod check;
pub mod grads;
pub mod ops;
pub mod optim;
pub mod params;
pub mod schedule;
pub mod tape;
pub mod weights;

pub use base::{Adapter, BaseWeights};
pub use grads::Grads;
pub use optim::{AdamW, AdamWConfig, NonFinite};
pub use params::{Init, ParamId, Params, ParamsBuilder};
pub use schedule::Schedule;
pub use tape::{Var, checkpoint, record};
pub use weights::Weights;
