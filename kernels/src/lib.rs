//! Arrays in, arrays out: every kernel on the CPU and in WGSL, side by side. Knows nothing of gradients.
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

pub use adamw::{AdamWStep, adamw};
pub use attention::{attention, attention_back, attention_cached, kv_append};
pub use bf16::{Bf16, pack_bf16, unpack_bf16};
pub use columns::{set_columns, slice_columns};
pub use cpu::pool::release_pool;
pub use device::{Device, DeviceError, DeviceFault};
pub use elementwise::{Binary, Unary, add_at, axpy, lerp, map, scale_in_place, zip};
pub use float::Float;
pub use ids::{Heads, Ids, Segments};
pub use index_select::{index_select, index_select_back, index_select_bf16};
pub use logprob::{entropy, logprob, logprob_back};
pub use matmul::{
    Form, Packed, Precision, linear, linear_bf16, linear_bf16_back, linear_in, linear_packed, matmul, matmul_add_at,
    matmul_in,
};
pub use norm::{layer_norm, layer_norm_back, rms_norm, rms_norm_back};
pub use random::{dropout, normal, uniform};
pub use reduce::{count_non_finite, dot, sum, sum_rows, sum_squares};
pub use rng::{Draws, Rng};
pub use rope::{rope, rope_table};
pub use sample::{Sampling, sample};
pub use shape::Shape;
pub use swiglu::{swiglu, swiglu_back};
pub use tensor::{Tensor, read_all};
