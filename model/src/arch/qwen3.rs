//! Qwen3 (Yang et al. 2025): a Llama whose query and key heads are normed.
use super::{Arch, Gguf, Sizes, llama, qwen2};
use crate::net::config::{Biases, Config};

/// Its row of [`ARCHS`](super::ARCHS).
pub const ARCH: Arch = Arch {
    name: "qwen3",
    classes: ["Qwen3ForCausalLM", "Qwen3ForSequenceClassification"],
    usual,
    read: |keys| {
        keys.size("num_key_value_heads", None)?;
        keys.size("head_dim", None)?;
        qwen2::no_window(keys)?;
        let attention = keys.flag("attention_bias", false)?;
        let biases = Biases { qkv: attention, out: attention, mlp: false };
        Ok(Config { biases, ..llama::read_kin(keys, usual, None)? })
    },
    write: |config| {
        let mut json = (qwen2::ARCH.write)(config);
        json["attention_bias"] = config.biases.qkv.into();
        json
    },
    gguf: Gguf { name: "qwen3", ..qwen2::GGUF },
    ..llama::ARCH
};

fn usual(sizes: Sizes) -> Config {
    Config { arch: "qwen3", qk_norm: true, ..llama::usual(sizes) }
}
