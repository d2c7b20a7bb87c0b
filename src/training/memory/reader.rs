//! A model that answers and learns nothing: what it takes to read a text with it, and to write one.

use super::Need;
use crate::error::Result;
use kernels::{Device, Precision};
use model::{Config, Description, HeadKind, lora};
use std::path::{Path, PathBuf};

/// Logits are made for so many numbers at a time (`model::score`).
const LOGITS: f64 = (1 << 24) as f64;
/// Tokens of prompts that are read in one step of generation (`model::generate`).
const STEP: usize = 4096;

impl Need {
    fn of_files(bytes: f64) -> Need {
        Need { parts: vec![("files", 0.0)], otherwise: Vec::new(), largest: 0.0, mapped: bytes }
    }
}

#[derive(Clone)]
pub struct Reader {
    config: Config,
    /// Numbers of the model, and bytes that they take: as the file has them where that is f32 or bf16, else in f32.
    numbers: f64,
    weights: f64,
    /// Bytes of its files, which are mapped while they are read.
    files: f64,
    /// Bytes of the largest array: on a GPU all weights are one, but for those that an adapter stands on.
    largest: f64,
}

impl Reader {
    /// Of a model's files: nothing is read but its config and the tables at their beginnings.
    pub fn of(path: &Path, device: &Device) -> Result<Reader> {
        check_files(path)?;
        let Description { config, learning, frozen, adapter, answering, .. } = model::describe(path)?;
        let files = weights_in(path) + adapter.as_ref().map_or(0.0, |(_, base)| weights_in(base));
        let numbers = (learning + frozen) as f64;
        let weights = if *device == Device::Cpu { answering as f64 } else { 4.0 * numbers };
        let embedding = 4.0 * config.vocab as f64 * config.channels as f64;
        let largest = if adapter.is_none() { 4.0 * numbers } else { embedding };
        Ok(Reader { config, numbers, weights, files, largest })
    }

    /// Loaded, and nothing done with it yet. `decoding`: to write by, for which matrices in f32 are packed once more.
    pub fn loaded(&self, decoding: Option<Precision>) -> Need {
        let need = Need { parts: vec![("weights", self.weights)], largest: self.largest, ..Need::of_files(self.files) };
        let whole = (self.weights / 2.0 - self.numbers).clamp(0.0, self.numbers); // those in f32, not in bf16
        match decoding {
            Some(Precision::F32) if whole > 0.01 * self.numbers => {
                let (packed, smaller) = (4.0 * whole, self.weights + 2.0 * whole);
                let mut need = need.and("packed for decoding", packed);
                need.otherwise.push(("--precision bf16".into(), smaller));
                need.otherwise.push(("the model converted to bf16 (rlhf convert)".into(), 2.0 * self.numbers));
                need
            }
            Some(Precision::Bf16) => need.and("packed for decoding", 2.0 * whole),
            _ => need,
        }
    }

    /// An adapter and its model as one model, beside them.
    pub fn merging(&self) -> Need {
        self.loaded(None).and("merged", 4.0 * self.numbers)
    }

    /// From one kind of file to another, one array at a time.
    pub fn converting(&self) -> Need {
        let largest = self.config.vocab.max(self.config.up()) as f64 * self.config.channels as f64;
        let parts = vec![("weights, of which one array is held at a time", 8.0 * largest)];
        Need { parts, ..Need::of_files(self.files) }
    }

    /// Reading texts, so many tokens at a time.
    pub fn reading(&self, tokens: usize, head: HeadKind) -> Need {
        let need = self.loaded(None).and("activations", self.activations(tokens));
        match head {
            HeadKind::Lm => need.and("logits", 8.0 * LOGITS.max(self.config.vocab as f64)),
            HeadKind::Score => need,
        }
    }

    /// Writing `answers`, `slots` of them at a time, the longest of `longest` tokens with its prompt.
    pub fn writing(&self, answers: usize, slots: usize, longest: usize, decoding: Precision) -> Need {
        let heads = self.config.heads;
        let place = 8.0 * self.config.layers as f64 * heads.kv as f64 * heads.dim as f64; // keys and values of a token
        self.loaded(Some(decoding))
            .and("cache", place * slots as f64 * longest as f64)
            .and("activations", self.activations(STEP.min(slots.saturating_mul(longest)).max(longest)))
            .and("logits", 12.0 * slots as f64 * self.config.vocab as f64)
            .and("answers", 40.0 * answers as f64 * longest as f64)
    }

    /// Of the block that is computed: its input, and that of each of its parts.
    fn activations(&self, tokens: usize) -> f64 {
        let Config { channels, intermediate_size, heads, .. } = self.config;
        let block =
            (4 * channels + 2 * heads.qkv() + heads.q * heads.dim + self.config.up() + intermediate_size) as f64;
        4.0 * tokens as f64 * (2.0 * block + 2.0 * channels as f64)
    }
}

/// Before anything of a model is read: its files are mapped for that, those of the model that an adapter stands on too.
pub fn check_files(path: &Path) -> Result {
    let base = lora::is_adapter(path).then(|| lora::base_of(path)).transpose()?;
    let files = weights_in(path) + base.map_or(0.0, |base| weights_in(&base));
    super::check(&Need::of_files(files), &Device::Cpu)
}

/// Bytes of the files with weights in a directory, or of the file itself.
fn weights_in(path: &Path) -> f64 {
    let size = |path: PathBuf| std::fs::metadata(path).map_or(0.0, |data| data.len() as f64);
    let weights = |path: &PathBuf| path.extension().is_some_and(|end| end == "safetensors");
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).filter(weights).map(size).sum(),
        Err(_) => size(path.to_path_buf()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernels::Rng;
    use model::{Dtype, Model};

    #[test]
    fn weights_take_what_their_file_takes_and_are_packed_to_write() {
        let dir = tempfile::tempdir().unwrap();
        let [f32, bf16] = ["f32", "bf16"].map(|name| dir.path().join(name));
        let config = Config::llama(500, 64, 2, 64, 2, 2);
        let model = Model::new(&config, HeadKind::Lm, Rng::new(1), &Device::Cpu);
        model::save(&f32, &model, None).unwrap();
        model::convert(&f32, &bf16, Dtype::Bf16).unwrap();
        let n = model.params.count() as f64;
        let near = |need: Need, numbers: f64| {
            let share = need.total() / (numbers * n);
            assert!((0.95..1.1).contains(&share), "{need}: {share} of {numbers} bytes a number");
        };
        let [whole, half] = [&f32, &bf16].map(|path| Reader::of(path, &Device::Cpu).unwrap());
        near(whole.loaded(None), 4.0);
        near(whole.loaded(Some(Precision::F32)), 8.0);
        near(whole.loaded(Some(Precision::Bf16)), 6.0);
        near(half.loaded(None), 2.0);
        near(half.loaded(Some(Precision::F32)), 2.0);
        let needs = [1, 2, 64].map(|slots| whole.writing(64, slots, 40, Precision::F32).total());
        assert!(needs[0] < needs[1] && needs[1] < needs[2]);
        let ways = whole.loaded(Some(Precision::F32)).instead();
        assert!(ways.contains("--precision bf16") && ways.contains("rlhf convert"), "{ways}");
    }
}
