//! Llama (Touvron et al. 2023); SmolLM2 and many others. Mistral, Qwen2 and Qwen3 are this with what differs.
use super::common::{SILU, activation, decimal, read_sizes, write_sizes};
use super::keys::Keys;
use super::metadata::{Reader, Value as Said};
use super::tensors::{Layout, Part};
use super::{Arch, Gguf, Sizes, gpt2};
use crate::net::config::{Activation, Biases, Config, NormKind};
use crate::net::rope::Rope;
use serde_json::{Value, json};

/// Its row of [`ARCHS`](super::ARCHS).
pub const ARCH: Arch = Arch {
    name: "llama",
    classes: ["LlamaForCausalLM", "LlamaForSequenceClassification"],
    usual,
    tied: false,
    read,
    write,
    tensors: &[
        (Part::Embedding, "model.embed_tokens", "token_embd"),
        (Part::Norm1, "model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
        (Part::Q, "model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
        (Part::K, "model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
        (Part::V, "model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
        (Part::QNorm, "model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
        (Part::KNorm, "model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
        (Part::Out, "model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
        (Part::Norm2, "model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
        (Part::Gate, "model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
        (Part::Up, "model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
        (Part::Down, "model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
        (Part::Norm, "model.norm", "output_norm"),
        (Part::Head, "lm_head", "output"),
    ],
    layout: |_, _| Layout::Same,
    gguf: Gguf {
        name: "llama",
        keys: &[],
        read: |said| {
            let mut json = from_gguf(said)?;
            json["attention_bias"] = (said.has)("blk.0.attn_q.bias").into();
            json["mlp_bias"] = (said.has)("blk.0.ffn_gate.bias").into();
            Ok(json)
        },
        write: |config| {
            let size = |n: usize| Said::Integer(n as i64);
            vec![
                ("attention.head_count_kv", size(config.heads.kv)),
                ("attention.key_length", size(config.heads.dim)),
                ("attention.value_length", size(config.heads.dim)),
            ]
        },
        neighbours: true,
        rope_freqs: true,
    },
};

/// RMS norm, rotary positions, SwiGLU with F = 8C/3 rounded up to a multiple of 32, no biases.
pub(super) fn usual(sizes: Sizes) -> Config {
    Config {
        arch: "llama",
        intermediate_size: (8 * sizes.channels).div_ceil(3).next_multiple_of(32),
        norm: NormKind::Rms,
        rope: Some(Rope::new(10_000.0, sizes.heads.dim)),
        activation: Activation::SwiGlu,
        biases: Biases::NONE,
        ..gpt2::usual(sizes)
    }
}

fn read(keys: &Keys) -> Result<Config, String> {
    let attention = keys.flag("attention_bias", false)?;
    let biases = Biases { qkv: attention, out: attention, mlp: keys.flag("mlp_bias", false)? };
    Ok(Config { biases, ..read_kin(keys, usual, None)? })
}

fn write(config: &Config) -> Value {
    let mut json = write_kin(config);
    json["attention_bias"] = config.biases.qkv.into();
    json["mlp_bias"] = config.biases.mlp.into();
    json
}

/// What this and its kin have in common. How far a token sees is the same in every layer, or the model is refused.
pub(super) fn read_kin(
    keys: &Keys,
    usual: fn(Sizes) -> Config,
    sliding_window: Option<usize>,
) -> Result<Config, String> {
    let kind = if sliding_window.is_some() { "sliding_attention" } else { "full_attention" };
    if let Some(types) = keys.get("layer_types")
        && !types.as_array().is_some_and(|types| types.iter().all(|layer| layer == kind))
    {
        return Err(format!("`layer_types`: expected `{kind}` for all, got {types}"));
    }
    let sizes = read_sizes(keys, usual, |q| keys.size("num_key_value_heads", Some(q)))?;
    Ok(Config {
        norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope: Some(Rope::read(keys, sizes.heads.dim, sizes.context, false)?),
        activation: activation(keys, "hidden_act", SILU, sizes.activation)?,
        sliding_window,
        ..sizes
    })
}

pub(super) fn write_kin(config: &Config) -> Value {
    let mut json = write_sizes(config);
    json["num_key_value_heads"] = config.heads.kv.into();
    json["head_dim"] = config.heads.dim.into();
    json["rms_norm_eps"] = decimal(config.norm_eps).into();
    json["attention_dropout"] = 0.0.into();
    if let Some(rope) = &config.rope {
        json["rope_theta"] = rope.theta.into();
    }
    json
}

pub(super) fn from_gguf(said: &Reader) -> Result<Value, String> {
    let (channels, heads) = (said.size("embedding_length")?, said.size("attention.head_count")?);
    let (head, turned) = said.head(channels, heads)?;
    let theta = said.number("rope.freq_base", Some(10_000.0))?;
    let mut json = json!({
        "max_position_embeddings": said.size("context_length")?,
        "hidden_size": channels,
        "num_hidden_layers": said.size("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": said.size_or_none("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head,
        "intermediate_size": said.size("feed_forward_length")?,
        "hidden_act": "silu",
        "rms_norm_eps": said.number("attention.layer_norm_rms_epsilon", None)?,
        "rope_theta": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
    });
    if turned != 1.0 {
        json["partial_rotary_factor"] = turned.into();
    }
    Ok(json)
}
