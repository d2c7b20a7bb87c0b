//! GPT-NeoX (Black et al. 2022); Pythia.
use super::common::{GELU, activation, decimal, read_sizes, write_sizes};
use super::keys::Keys;
use super::metadata::{Reader, Value as Said};
use super::tensors::{Layout, Part};
use super::{Arch, Gguf, Sizes, gpt2};
use crate::net::config::{Activation, Biases, Config};
use crate::net::rope::Rope;
use serde_json::{Value, json};

/// Its row of [`ARCHS`](super::ARCHS).
pub const ARCH: Arch = Arch {
    name: "gpt_neox",
    classes: ["GPTNeoXForCausalLM", "GPTNeoXForSequenceClassification"],
    usual,
    tied: false,
    read,
    write,
    tensors: &[
        (Part::Embedding, "gpt_neox.embed_in", "token_embd"),
        (Part::Norm1, "gpt_neox.layers.{}.input_layernorm", "blk.{}.attn_norm"),
        (Part::Qkv, "gpt_neox.layers.{}.attention.query_key_value", "blk.{}.attn_qkv"),
        (Part::Out, "gpt_neox.layers.{}.attention.dense", "blk.{}.attn_output"),
        (Part::Norm2, "gpt_neox.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
        (Part::Up, "gpt_neox.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"),
        (Part::Down, "gpt_neox.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"),
        (Part::Norm, "gpt_neox.final_layer_norm", "output_norm"),
        (Part::Head, "embed_out", "output"),
    ],
    layout: |part, config| match part {
        Part::Qkv => Layout::ByHead(config.heads.q),
        _ => Layout::Same,
    },
    gguf: Gguf {
        name: "gptneox",
        keys: &["use_parallel_residual"],
        read: from_gguf,
        write: |config| vec![("use_parallel_residual", Said::Flag(config.parallel_residual))],
        neighbours: false,
        rope_freqs: false,
    },
};

/// As GPT-2, but a quarter of each head turns, and attention and MLP read the same input.
fn usual(sizes: Sizes) -> Config {
    Config {
        arch: "gpt_neox",
        rope: Some(Rope::new(10_000.0, sizes.heads.dim / 4)),
        activation: Activation::GeluErf,
        parallel_residual: true,
        ..gpt2::usual(sizes)
    }
}

fn read(keys: &Keys) -> Result<Config, String> {
    let sizes = read_sizes(keys, usual, Ok)?;
    let attention = keys.flag("attention_bias", true)?;
    Ok(Config {
        norm_eps: keys.number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
        rope: Some(Rope::read(keys, sizes.heads.dim, sizes.context, true)?),
        activation: activation(keys, "hidden_act", GELU, sizes.activation)?,
        biases: Biases { qkv: attention, out: attention, mlp: true },
        parallel_residual: keys.flag("use_parallel_residual", true)?,
        ..sizes
    })
}

fn write(config: &Config) -> Value {
    let mut json = write_sizes(config);
    json["layer_norm_eps"] = decimal(config.norm_eps).into();
    json["use_parallel_residual"] = config.parallel_residual.into();
    json["attention_bias"] = config.biases.qkv.into();
    json["attention_dropout"] = 0.0.into();
    json["hidden_dropout"] = 0.0.into();
    if let Some(rope) = &config.rope {
        let share = rope.rotary_dim as f64 / config.heads.dim as f64;
        json["rotary_pct"] = share.into();
        json["rotary_emb_base"] = rope.theta.into();
        json["rope_parameters"]["partial_rotary_factor"] = share.into();
    }
    json
}

fn from_gguf(said: &Reader) -> Result<Value, String> {
    let (channels, heads) = (said.size("embedding_length")?, said.size("attention.head_count")?);
    let (_, turned) = said.head(channels, heads)?;
    let theta = said.number("rope.freq_base", Some(10_000.0))?;
    Ok(json!({
        "max_position_embeddings": said.size("context_length")?,
        "hidden_size": channels,
        "num_hidden_layers": said.size("block_count")?,
        "num_attention_heads": heads,
        "intermediate_size": said.size("feed_forward_length")?,
        "hidden_act": "gelu",
        "layer_norm_eps": said.number("attention.layer_norm_epsilon", None)?,
        "use_parallel_residual": said.flag("use_parallel_residual", true)?,
        "rotary_pct": turned,
        "rotary_emb_base": theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": turned},
    }))
}
