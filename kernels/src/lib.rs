//! Arrays in, arrays out: the kernels of a transformer on the CPU and in WGSL, side by side. Knows nothing of gradients.
//!
//! ```
//! use kernels::{Device, Form, Rng, Tensor, Unary, map, matmul, sum};
//!
//! let a = Tensor::new(&[2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
//! let b = kernels::normal(Rng::new(0), &Device::Cpu, &[3, 4], 1.0);
//! let c = matmul(Form::NN, &a, &b); // [2, 4]
//! let y = map(Unary::Silu, &c, [0.0; 2]);
//! println!("{y:?}\n{}", sum(&y).item());
//! # assert_eq!(y.shape(), [2, 4]);
//!
//! // the same on a GPU, if there is one
//! if let Ok(gpu) = Device::gpu(None, false) {
//!     println!("{:?}", matmul(Form::NN, &a.to(&gpu), &b.to(&gpu)));
//! }
//! ```
//!
//! # What is where
//!
//! | | |
//! |---|---|
//! | [`Tensor`], [`Ids`], [`Bf16`] | arrays of f32, of whole numbers, of bf16 |
//! | [`Device`], [`DeviceFault`], [`gpu`] | where arrays live; what a GPU may lack; the GPU itself |
//! | [`Segments`], [`Heads`] | sequences laid end to end; how heads share columns |
//! | [`Rng`] | random numbers as a function of key, stream and index |
//! | [`elementwise`], [`reduce`], [`columns`], [`index_select`](mod@index_select) | single elements, sums, columns, rows |
//! | [`matmul`](mod@matmul), [`bf16`] | products and linear layers, in f32 or bf16 |
//! | [`norm`], [`attention`](mod@attention), [`rope`](mod@rope), [`swiglu`](mod@swiglu) | the parts of a transformer |
//! | [`logprob`](mod@logprob), [`sample`](mod@sample) | what its logits say, and the next token |
//! | [`random`], [`adamw`](mod@adamw) | random arrays and dropout; a step of the optimizer |
//! | [`cpu`] | threads, vectors and the blocked product that the CPU's kernels share |
//!
//! One folder a kernel: `mod.rs` checks shapes and picks the device, `plain.rs` is the readable loop
//! (generic over f32/f64; in f64 it is the oracle of the tests), `cpu.rs` is fast, `gpu.rs` and the
//! `.wgsl` files run through wgpu. This is the only crate that names wgpu.
//!
//! Axes, everywhere: B sequences, N tokens (sequences laid end to end, no padding), C channels,
//! H query heads, G key/value heads, D head size, F hidden size of the MLP, V vocabulary, L layers,
//! R picked rows. `dx` is the gradient of `x`; the backward kernel of `x` is `x_back`.
//!
//! # Panics
//!
//! Nothing here returns a `Result` but opening a device. Shapes that do not fit, ids beyond their table and arrays on
//! two devices are bugs: a kernel panics at the caller's line with both shapes. A device that is full, lost or too
//! small for an array is not: the panic carries a [`DeviceFault`].

#![warn(missing_docs)]
#![allow(rustdoc::broken_intra_doc_links)] // [N] is a shape, not a link

pub mod cpu;
pub mod gpu;

mod device;
mod float;
mod ids;
mod rng;
mod shape;
mod show;
mod tensor;

pub mod adamw;
pub mod attention;
pub mod bf16;
pub mod columns;
pub mod elementwise;
pub mod index_select;
pub mod logprob;
pub mod matmul;
pub mod norm;
pub mod random;
pub mod reduce;
pub mod rope;
pub mod sample;
pub mod swiglu;

#[doc(inline)]
pub use adamw::{AdamWStep, adamw};
#[doc(inline)]
pub use attention::{attention, attention_back, attention_cached, kv_append};
#[doc(inline)]
pub use bf16::{Bf16, pack_bf16, unpack_bf16};
#[doc(inline)]
pub use columns::{set_columns, slice_columns};
#[doc(inline)]
pub use cpu::pool::release_pool;
#[doc(inline)]
pub use device::{Device, DeviceError, DeviceFault};
#[doc(inline)]
pub use elementwise::{Binary, Unary, add_at, axpy, lerp, map, scale_in_place, zip};
#[doc(inline)]
pub use float::Float;
#[doc(inline)]
pub use ids::{Heads, Ids, Segments};
#[doc(inline)]
pub use index_select::{index_select, index_select_back, index_select_bf16};
#[doc(inline)]
pub use logprob::{entropy, logprob, logprob_back};
#[doc(inline)]
pub use matmul::{
    Form, Packed, Precision, linear, linear_bf16, linear_bf16_back, linear_in, linear_packed, matmul, matmul_add_at,
    matmul_in,
};
#[doc(inline)]
pub use norm::{layer_norm, layer_norm_back, rms_norm, rms_norm_back};
#[doc(inline)]
pub use random::{dropout, normal, uniform};
#[doc(inline)]
pub use reduce::{count_non_finite, dot, sum, sum_rows, sum_squares};
#[doc(inline)]
pub use rng::{Draws, Rng};
#[doc(inline)]
pub use rope::{rope, rope_table};
#[doc(inline)]
pub use sample::{Sampling, sample};
#[doc(inline)]
pub use shape::Shape;
#[doc(inline)]
pub use swiglu::{swiglu, swiglu_back};
#[doc(inline)]
pub use tensor::{Tensor, read_all};
