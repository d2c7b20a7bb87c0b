//! bf16 as storage: half the bytes of f32, the same range. Rounded to nearest, ties to even.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

use crate::{
    Device, Shape, Tensor,
    cpu::{par, pool},
};
pub(crate) use cpu::round_to;
use std::sync::Arc;

/// An array in bf16, two numbers to a word.
#[derive(Clone)]
pub struct Bf16 {
    words: Words,
    shape: Shape,
}

#[derive(Clone)]
enum Words {
    Cpu(Arc<Vec<u32>>),
    Gpu(Arc<crate::gpu::Buffer>),
}

impl Bf16 {
    /// Sizes of its axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The words of an array on the CPU.
    pub(crate) fn host(&self) -> Option<&[u32]> {
        match &self.words {
            Words::Cpu(words) => Some(words),
            Words::Gpu(_) => None,
        }
    }
}

/// Conversion to bf16: each number rounded, element 2i in the low half of word i, element 2i + 1 in the high half.
pub fn pack_bf16(x: &Tensor) -> Bf16 {
    let words = match x.device() {
        Device::Cpu => {
            let mut words = vec![0; x.len().div_ceil(2)];
            let data = x.data();
            par::words(&mut words, |range, words| {
                cpu::pack(&data[2 * range.start..data.len().min(2 * range.end)], words)
            });
            Words::Cpu(Arc::new(words))
        }
        Device::Gpu(g) => Words::Gpu(Arc::new(gpu::pack(&g, x))),
    };
    Bf16 { words, shape: Shape::new(x.shape()) }
}

/// Conversion to f32, exact: every bf16 is one.
pub fn unpack_bf16(x: &Bf16) -> Tensor {
    match &x.words {
        Words::Cpu(words) => {
            let mut y = pool::take(x.shape.elements());
            unpack_to(words, &mut y);
            Tensor::new(&x.shape, y)
        }
        Words::Gpu(buffer) => gpu::unpack(buffer, &x.shape),
    }
}

/// The first numbers of these words.
pub(crate) fn unpack_to(words: &[u32], y: &mut [f32]) {
    const GRAIN: usize = 1 << 14; // even: a piece begins with a word
    par::rows(y.len(), GRAIN, [(y, 1)], |range, [y]| cpu::unpack(&words[range.start / 2..], y));
}
