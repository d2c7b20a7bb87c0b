//! Architectures: whose files a model has. One file each, a row of [`ARCHS`]: what its authors' models are made of, the
//! keys of its config.json, the names of its tensors in Hugging Face's files and in GGUF. A variant of one is
//! `Arch { name: …, ..llama::ARCH }` with what differs.
//!
//! `read` and `write` have what is the same for all, `common` what several share, [`tensors`] follows the names to the
//! parameters of a network. Nothing here opens a file.
mod common;
pub mod gpt2;
pub mod gpt_neox;
pub(crate) mod keys;
pub mod llama;
pub(crate) mod metadata;
pub mod mistral;
pub mod qwen2;
pub mod qwen3;
mod read;
mod rope;
pub mod tensors;
#[cfg(test)]
mod tests;
mod write;

use crate::net::config::{Config, HeadKind};
use kernels::Heads;
use keys::Keys;
use metadata::{Reader, Value as Said};
use serde_json::Value;
use tensors::{Layout, Part};

/// All that are known.
pub const ARCHS: &[Arch] = &[gpt2::ARCH, llama::ARCH, mistral::ARCH, qwen2::ARCH, qwen3::ARCH, gpt_neox::ARCH];

/// Architecture: what its models are made of, and how their files spell it.
pub struct Arch {
    /// The `model_type` of config.json.
    pub name: &'static str,
    /// The classes of `transformers`: a language model's, and a classifier's, which a reward model is.
    pub classes: [&'static str; 2],
    /// A model of these sizes as its authors make it, but with a tied head.
    pub usual: fn(Sizes) -> Config,
    /// What a config.json without `tie_word_embeddings` means.
    pub tied: bool,
    /// What the keys of config.json say, but for those that all have ([`Config::from_hf`]).
    pub(crate) read: fn(&Keys) -> Result<Config, String>,
    /// And back ([`Config::to_hf`]).
    pub(crate) write: fn(&Config) -> Value,
    /// Each part of the network and what its tensors are called without `.weight` or `.bias`, by Hugging Face and in
    /// GGUF; `{}` is the number of the layer.
    pub(crate) tensors: &'static [(Part, &'static str, &'static str)],
    /// How Hugging Face's tensors of a part lie.
    pub(crate) layout: fn(Part, &Config) -> Layout,
    pub(crate) gguf: Gguf,
}

/// How GGUF spells an architecture.
pub(crate) struct Gguf {
    /// Its `general.architecture`. Where several have the same, a file is read as the first of them.
    pub name: &'static str,
    /// Keys below that name that others do not have.
    pub keys: &'static [&'static str],
    /// What config.json would say, but for what all have.
    pub read: fn(&Reader) -> Result<Value, String>,
    /// And back: keys below the name.
    pub write: fn(&Config) -> Vec<(&'static str, Said)>,
    /// Do queries and keys turn in pairs of neighbours there, in pairs half a head apart in Hugging Face's files?
    pub neighbours: bool,
    /// May the file say in a tensor by how much each rotary pair turns slower?
    pub rope_freqs: bool,
}

/// Sizes of a model: what its architecture does not say.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// V, the size of the vocabulary.
    pub vocab: usize,
    /// T, the longest sequence.
    pub context: usize,
    /// L, the number of blocks.
    pub layers: usize,
    /// C, numbers of a token's hidden state.
    pub channels: usize,
    /// Query heads, key/value heads, and the size of a head.
    pub heads: Heads,
}

/// The architecture of a config.
///
/// # Panics
/// Where `config.arch` is no name in [`ARCHS`].
#[track_caller]
pub(crate) fn of(config: &Config) -> &'static Arch {
    let found = ARCHS.iter().find(|arch| arch.name == config.arch);
    found.unwrap_or_else(|| panic!("`{}` is no architecture that is known", config.arch))
}

impl Arch {
    /// The class that `transformers` reads a model with this head by.
    pub(crate) fn class(&self, head: HeadKind) -> &'static str {
        self.classes[(head == HeadKind::Score) as usize]
    }
}

impl Config {
    /// A model of this kind and size, as its authors make it, but with a tied head. `arch` is a name in [`ARCHS`];
    /// `heads` query heads share `kv` key/value heads.
    ///
    /// # Panics
    /// Where there is no such architecture.
    #[track_caller]
    pub fn new(
        arch: &Arch,
        vocab: usize,
        context: usize,
        layers: usize,
        channels: usize,
        heads: usize,
        kv: usize,
    ) -> Config {
        let heads = Heads { q: heads, kv, dim: channels / heads };
        (arch.usual)(Sizes { vocab, context, layers, channels, heads })
    }

    /// As GPT-2's authors make it.
    pub fn gpt2(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize) -> Config {
        Config::new(&gpt2::ARCH, vocab, context, layers, channels, heads, heads)
    }

    /// As Llama's authors make it, but with a tied head.
    pub fn llama(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize, kv: usize) -> Config {
        Config::new(&llama::ARCH, vocab, context, layers, channels, heads, kv)
    }
}
