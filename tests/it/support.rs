//! What several tests share: golden files, comparing numbers, a model small enough to train in a test.

use autograd::{ParamId, Params};
use kernels::{Device, Rng};
use model::{Config, HeadKind, Model, Transformer};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::path::Path;

pub use crate::shared::{golden, shared, smollm2};

/// Arrays (expect.safetensors) and numbers (expect.json) that PyTorch left in a folder.
pub struct Golden {
    pub json: Value,
    bytes: Vec<u8>,
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

impl Golden {
    pub fn read(folder: &Path) -> Golden {
        let bytes = std::fs::read(folder.join("expect.safetensors")).unwrap();
        Golden { json: read_json(&folder.join("expect.json")), bytes }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).unwrap()
    }

    pub fn names(&self) -> Vec<String> {
        self.file().names().into_iter().map(String::from).collect()
    }

    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.file().tensor(name).unwrap().shape().to_vec()
    }

    /// Whole numbers come as f32 too.
    pub fn array(&self, name: &str) -> Vec<f32> {
        let file = self.file();
        let tensor = file.tensor(name).unwrap();
        let words = tensor.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        match tensor.dtype() {
            Dtype::F32 => words.map(f32::from_le_bytes).collect(),
            Dtype::I32 => words.map(|b| i32::from_le_bytes(b) as f32).collect(),
            other => panic!("{name} is {other:?}"),
        }
    }
}

#[track_caller]
pub fn close(a: f32, b: f32, tolerance: f32) {
    assert!((a - b).abs() <= tolerance, "{a} is not {b}");
}

/// Absolute for small numbers, relative for those above 1.
#[track_caller]
pub fn close_all(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "at {i}: {a} is not {b}");
    }
}

/// One layer, 16 channels, room for 32 tokens; weights large enough that its answers differ from one another.
pub fn tiny(vocab: usize, head: HeadKind, seed: u64) -> (Transformer, Params) {
    let config = Config::gpt2(vocab, 32, 1, 16, 2);
    let Model { net: model, mut params } = Model::new(&config, head, Rng::new(seed), &Device::Cpu);
    let matrices: Vec<ParamId> = params.iter().filter(|(_, _, shape)| shape.len() == 2).map(|(id, ..)| id).collect();
    for id in matrices {
        let larger: Vec<f32> = params.get(id).data().iter().map(|x| 8.0 * x).collect();
        params.set(id, &larger);
    }
    (model, params)
}
