//! What several tests share: where the golden files lie, comparing numbers, a model small enough to train in a test.

use autograd::{ParamId, Params};
use kernels::{Device, Rng};
use model::{Config, HeadKind, Transformer};
use std::path::PathBuf;

/// A file that was computed elsewhere (by PyTorch): ../shared beside the workspace, or $RLHF_SHARED.
/// None, and a line that says so, where it is not there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let file = std::env::var_os("RLHF_SHARED").map_or_else(beside, PathBuf::from).join(path);
    if !file.exists() {
        eprintln!("SKIPPED: {} is not there (set RLHF_SHARED)", file.display());
        return None;
    }
    Some(file)
}

/// Arrays and numbers that PyTorch computed for the losses of RLHF.
pub struct Golden {
    pub json: serde_json::Value,
    bytes: Vec<u8>,
}

pub fn golden_rlhf() -> Option<Golden> {
    let read = |name: &str| shared(&format!("golden/rlhf/{name}")).map(|path| std::fs::read(path).unwrap());
    let json = serde_json::from_slice(&read("expect.json")?).unwrap();
    Some(Golden { json, bytes: read("expect.safetensors")? })
}

impl Golden {
    /// Whole numbers come as f32 too.
    pub fn array(&self, name: &str) -> Vec<f32> {
        let file = safetensors::SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = file.tensor(name).unwrap();
        let words = tensor.data().chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
        match tensor.dtype() {
            safetensors::Dtype::F32 => words.map(f32::from_le_bytes).collect(),
            safetensors::Dtype::I32 => words.map(|b| i32::from_le_bytes(b) as f32).collect(),
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
    let (model, mut params) = Transformer::new(&config, head, Rng::new(seed), &Device::Cpu);
    let matrices: Vec<ParamId> = params.iter().filter(|(_, _, shape)| shape.len() == 2).map(|(id, ..)| id).collect();
    for id in matrices {
        let larger: Vec<f32> = params.get(id).data().iter().map(|x| 8.0 * x).collect();
        params.set(id, &larger);
    }
    (model, params)
}
