//! Frozen base weights: matrices in bf16 (or in f32), vectors in f32, shared by all [`Params`](crate::Params) that
//! stand on them; and the adapters that are added to its matrices (LoRA: Hu et al. 2021).
use crate::params::ParamId;
use kernels::{Bf16, Device, Tensor, pack_bf16, unpack_bf16};
use std::ops::Range;

/// Frozen base weights, by the ids that they had as parameters. Nothing of them is in gradients or optimizers.
#[derive(Default)]
pub struct BaseWeights {
    pub(crate) arrays: Vec<Frozen>,
}

pub(crate) struct Frozen {
    pub name: String,
    pub shape: Vec<usize>,
    pub numbers: Numbers,
}

#[derive(Clone)]
pub(crate) enum Numbers {
    Matrix(Bf16),
    /// Vectors, and what is kept in f32.
    Whole(Tensor),
    Missing,
}

impl BaseWeights {
    /// The numbers of one array. Matrices are rounded to bf16; nothing else of `numbers` is kept.
    ///
    /// # Panics
    /// If the shape is another.
    #[track_caller]
    pub fn set(&mut self, id: ParamId, numbers: &Tensor) {
        let at = &mut self.arrays[id.0];
        assert_eq!(numbers.shape(), at.shape, "{} of a base", at.name);
        at.numbers = match at.shape.len() {
            2 => Numbers::Matrix(pack_bf16(numbers)),
            _ => Numbers::Whole(numbers.clone()),
        };
    }

    /// The numbers of one array as they are, a matrix's too.
    ///
    /// # Panics
    /// If the shape is another.
    #[track_caller]
    pub fn keep(&mut self, id: ParamId, numbers: &Tensor) {
        let at = &mut self.arrays[id.0];
        assert_eq!(numbers.shape(), at.shape, "{} of a base", at.name);
        at.numbers = Numbers::Whole(numbers.clone());
    }

    /// One array, in f32.
    ///
    /// # Panics
    /// If it was never set.
    #[track_caller]
    pub fn get(&self, id: ParamId) -> Tensor {
        match &self.arrays[id.0].numbers {
            Numbers::Matrix(w) => unpack_bf16(w),
            Numbers::Whole(array) => array.clone(),
            Numbers::Missing => panic!("{} of the base was never set", self.arrays[id.0].name),
        }
    }

    /// The array of that name.
    pub fn by_name(&self, name: &str) -> Option<ParamId> {
        self.arrays.iter().position(|a| a.name == name).map(ParamId)
    }

    /// Number of parameters.
    pub fn count(&self) -> usize {
        self.arrays.iter().map(|a| a.shape.iter().product::<usize>()).sum()
    }

    pub(crate) fn is_on(&self, device: &Device) -> bool {
        self.arrays.iter().all(|a| !matches!(&a.numbers, Numbers::Whole(v) if v.device() != *device))
    }

    pub(crate) fn to(&self, device: &Device) -> BaseWeights {
        let moved = |a: &Frozen| {
            let numbers = match &a.numbers {
                Numbers::Matrix(w) => Numbers::Matrix(pack_bf16(&unpack_bf16(w).to(device))),
                Numbers::Whole(array) => Numbers::Whole(array.to(device)),
                Numbers::Missing => Numbers::Missing,
            };
            Frozen { name: a.name.clone(), shape: a.shape.clone(), numbers }
        };
        BaseWeights { arrays: self.arrays.iter().map(moved).collect() }
    }
}

/// A low-rank adapter (LoRA): rows `rows` of a frozen matrix W are used as W + scale·B·A.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The matrix W.
    pub weight: ParamId,
    /// Which of its rows.
    pub rows: Range<usize>,
    /// A [r, I]
    pub a: ParamId,
    /// B [rows, r]
    pub b: ParamId,
    /// α/r: what B·A is multiplied by.
    pub scale: f32,
}
