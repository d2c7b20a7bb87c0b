//! Qwen2 (Yang et al. 2024): a Llama whose queries, keys and values have biases.
use super::keys::Keys;
use super::{Arch, Gguf, Sizes, llama};
use crate::net::config::{Biases, Config};

/// Its row of [`ARCHS`](super::ARCHS).
pub const ARCH: Arch = Arch {
    name: "qwen2",
    classes: ["Qwen2ForCausalLM", "Qwen2ForSequenceClassification"],
    usual,
    read: |keys| {
        keys.size("num_key_value_heads", None)?;
        no_window(keys)?;
        llama::read_kin(keys, usual, None)
    },
    write: |config| {
        let mut json = llama::write_kin(config);
        json["use_sliding_window"] = false.into();
        json
    },
    gguf: GGUF,
    ..llama::ARCH
};

/// Pairs lie as in Hugging Face's files, for its kin too.
pub(super) const GGUF: Gguf =
    Gguf { name: "qwen2", read: llama::from_gguf, neighbours: false, rope_freqs: false, ..llama::ARCH.gguf };

fn usual(sizes: Sizes) -> Config {
    Config { arch: "qwen2", biases: Biases { qkv: true, ..Biases::NONE }, ..llama::usual(sizes) }
}

/// It would be of some layers only.
pub(super) fn no_window(keys: &Keys) -> Result<(), String> {
    keys.get("sliding_window"); // of no meaning without
    keys.refuse_flag("use_sliding_window", true)
}
