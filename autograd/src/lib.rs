//! Automatic differentiation: arrays that know their gradients, parameters, optimizers.
//!
//! A [`Var`] is an array and its place on a tape. [`ops`] make new ones of it, and [`Params::backprop`] walks the tape
//! back and adds up gradients. There is no mode and no global state: what is tracked follows from the weights that a
//! function was given.
//!
//! ```
//! use autograd::{AdamW, AdamWConfig, Init, ParamsBuilder, Var, ops};
//! use kernels::{Device, Rng, Tensor};
//!
//! let mut builder = ParamsBuilder::default();
//! let w = builder.add("w", &[1, 2], Init::Zeros, true, Rng::new(0));
//! let mut params = builder.build(&Device::Cpu);
//! let mut adamw = AdamW::new(AdamWConfig::default(), &params);
//! let mut grads = params.grads();
//!
//! // y = x wᵀ should be 1 for x = (1, 1) and 3 for x = (3, -1)
//! let x = Var::from(Tensor::new(&[2, 2], vec![1.0, 1.0, 3.0, -1.0]));
//! let want = Var::from(Tensor::new(&[2, 1], vec![1.0, 3.0]));
//! for _ in 0..200 {
//!     grads.zero(); // gradients accumulate
//!     params.backprop(&mut grads, |w_| (ops::mean(&ops::square(&(ops::linear(&x, &w_[w], None) - &want))), ()));
//!     adamw.step(&mut params, &grads, 0.05, None).unwrap();
//! }
//! println!("{:.1?}", params.get(w)); // Tensor[1, 2] on cpu: [[1.0, 0.0]]
//! # assert!((params.get(w).to_vec()[0] - 1.0).abs() < 0.01);
//! ```
//!
//! # What is where
//!
//! In the order to read it:
//!
//! | | |
//! |---|---|
//! | [`tape`] | what a [`Var`] is; how an op gets onto the tape ([`record`]) and off again; [`checkpoint`] |
//! | [`ops`] | each op in one function: its value by `kernels`, and the way back |
//! | [`params`], [`grads`] | one flat array of named slots, and its gradients in the same layout |
//! | [`weights`] | parameters as a forward pass sees them, watched or frozen |
//! | [`base`] | frozen weights, and adapters (LoRA) on them |
//! | [`optim`], [`schedule`] | AdamW over the flat array; learning rates |
//! | [`check`] | finite differences against the tape, for ops of your own |
//!
//! `cargo run --example xor` and `--example character_bigram` are whole programs.
//!
//! # Coming from PyTorch
//!
//! | there | here |
//! |---|---|
//! | `nn.Parameter(torch.randn(O, I))` | `builder.add("w", &[o, i], Init::Normal(1.0), true, rng)` |
//! | `loss.backward()` | `params.backprop(&mut grads, \|w\| (loss, ()))` |
//! | `optimizer.zero_grad()` | `grads.zero()` |
//! | `torch.no_grad()` | `params.frozen()`, and no tape |
//! | `x.detach()`, `x.tolist()`, `x.item()` | `x.detach()`, `x.value().to_vec()`, `x.item()` |
//! | `a + b`, `a * 2`, `a / b`, `-a` | the same, but nothing broadcasts by itself |
//! | `a @ b`, `a.T`, `a.view(2, 3)` | `ops::matmul(&a, &b)`, `ops::transpose(&a)`, `ops::reshape(&a, &[2, 3])` |
//! | `x[:, 1:3]`, `torch.cat([a, b], 1)` | `ops::slice(&x, 1, 1..3)`, `ops::concat([&a, &b], 1)` |
//! | `F.linear(x, w, b)`, `F.embedding(ids, table)` | `ops::linear(&x, &w, Some(&b))`, `ops::embed(&table, &ids)` |
//! | `F.softmax(x, -1)` | `ops::softmax(&x)` |
//! | `F.cross_entropy(logits, ids)` | `-ops::mean(&ops::logprob(&logits, &ids))` |
//! | `F.scaled_dot_product_attention(is_causal=True)` | `ops::attention(&qkv, &segments, heads)` |

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
