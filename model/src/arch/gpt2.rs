//! GPT-2 (Radford et al. 2019).
use super::common::{GELU, activation, activation_name, decimal, divide};
use super::keys::Keys;
use super::metadata::Reader;
use super::tensors::{Layout, Part};
use super::{Arch, Gguf, Sizes};
use crate::net::config::{Activation, Biases, Config, NormKind};
use kernels::Heads;
use serde_json::{Value, json};

/// Its row of [`ARCHS`](super::ARCHS).
pub const ARCH: Arch = Arch {
    name: "gpt2",
    classes: ["GPT2LMHeadModel", "GPT2ForSequenceClassification"],
    usual,
    tied: true,
    read,
    write,
    tensors: &[
        (Part::Embedding, "transformer.wte", "token_embd"),
        (Part::Positions, "transformer.wpe", "position_embd"),
        (Part::Norm1, "transformer.h.{}.ln_1", "blk.{}.attn_norm"),
        (Part::Qkv, "transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv"),
        (Part::Out, "transformer.h.{}.attn.c_proj", "blk.{}.attn_output"),
        (Part::Norm2, "transformer.h.{}.ln_2", "blk.{}.ffn_norm"),
        (Part::Up, "transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up"),
        (Part::Down, "transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down"),
        (Part::Norm, "transformer.ln_f", "output_norm"),
        (Part::Head, "lm_head", "output"),
    ],
    layout: |part, _| match part {
        Part::Qkv | Part::Out | Part::Up | Part::Down => Layout::Transposed, // Conv1D
        _ => Layout::Same,
    },
    gguf: Gguf { name: "gpt2", keys: &[], read: from_gguf, write: |_| vec![], neighbours: false, rope_freqs: false },
};

pub(super) fn usual(sizes: Sizes) -> Config {
    let Sizes { vocab, context, layers, channels, heads } = sizes;
    Config {
        arch: "gpt2",
        vocab,
        context,
        layers,
        channels,
        heads,
        intermediate_size: 4 * channels,
        norm: NormKind::Layer,
        norm_eps: 1e-5,
        rope: None,
        activation: Activation::GeluTanh,
        biases: Biases::ALL,
        qk_norm: false,
        parallel_residual: false,
        sliding_window: None,
        tied: true,
        bos: None,
        eos_ids: Vec::new(),
        pad: None,
        generation: Default::default(),
    }
}

fn read(keys: &Keys) -> Result<Config, String> {
    for flag in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        keys.refuse_flag(flag, true)?;
    }
    keys.refuse_flag("scale_attn_weights", false)?;
    let (channels, q) = (keys.size("n_embd", Some(768))?, keys.size("n_head", Some(12))?);
    let heads = Heads { q, kv: q, dim: divide(channels, q)? };
    let vocab = keys.size("vocab_size", Some(50_257))?;
    let (context, layers) = (keys.size("n_positions", Some(1024))?, keys.size("n_layer", Some(12))?);
    let usual = usual(Sizes { vocab, context, layers, channels, heads });
    let others = ["hidden_size", "num_attention_heads", "max_position_embeddings", "num_hidden_layers"];
    others.into_iter().zip([channels, q, context, layers]).try_for_each(|(key, size)| keys.same(key, size))?;
    Ok(Config {
        intermediate_size: keys.size("n_inner", Some(4 * channels))?,
        norm_eps: keys.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        activation: activation(keys, "activation_function", GELU, usual.activation)?,
        ..usual
    })
}

fn write(config: &Config) -> Value {
    json!({
        "n_positions": config.context,
        "n_embd": config.channels,
        "n_layer": config.layers,
        "n_head": config.heads.q,
        "n_inner": config.intermediate_size,
        "activation_function": activation_name(config),
        "layer_norm_epsilon": decimal(config.norm_eps),
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    })
}

fn from_gguf(said: &Reader) -> Result<Value, String> {
    Ok(json!({
        "n_positions": said.size("context_length")?,
        "n_embd": said.size("embedding_length")?,
        "n_layer": said.size("block_count")?,
        "n_head": said.size("attention.head_count")?,
        "n_inner": said.size("feed_forward_length")?,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": said.number("attention.layer_norm_epsilon", None)?,
    }))
}
