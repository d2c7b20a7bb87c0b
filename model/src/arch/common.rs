//! What several architectures share: sizes under the keys that all but GPT-2 have, activations, and rotary positions.
use super::Sizes;
use super::keys::Keys;
use crate::net::config::{Activation, Config};
use crate::net::rope::Scaling;
use kernels::Heads;
use serde_json::{Value, json};

pub(super) const SILU: &[(&str, Activation)] = &[("silu", Activation::SwiGlu), ("swish", Activation::SwiGlu)];
pub(super) const GELU: &[(&str, Activation)] = &[
    ("gelu", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_python", Activation::GeluErf),
];

/// What a key says, `default` where it is not there.
pub(super) fn activation(
    keys: &Keys,
    key: &str,
    known: &[(&str, Activation)],
    default: Activation,
) -> Result<Activation, String> {
    let Some(value) = keys.get(key) else { return Ok(default) };
    match known.iter().find(|(name, _)| value == name) {
        Some((_, activation)) => Ok(*activation),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Err(format!("`{key}: {value}` is not supported; known: {}", names.join(", ")))
        }
    }
}

pub(super) fn activation_name(config: &Config) -> &'static str {
    match config.activation {
        Activation::GeluTanh => "gelu_new",
        Activation::GeluErf => "gelu",
        Activation::SwiGlu => "silu",
    }
}

/// A model of the sizes that all but GPT-2 spell alike, with as many key/value heads as `kv` says of its query heads.
pub(super) fn read_sizes(
    keys: &Keys,
    usual: fn(Sizes) -> Config,
    kv: impl Fn(usize) -> Result<usize, String>,
) -> Result<Config, String> {
    let (channels, q) = (keys.size("hidden_size", None)?, keys.size("num_attention_heads", None)?);
    let kv = kv(q)?;
    let dim = match keys.get("head_dim") {
        None => divide(channels, q)?,
        _ => keys.size("head_dim", None)?,
    };
    let (vocab, context) = (keys.size("vocab_size", None)?, keys.size("max_position_embeddings", None)?);
    let (layers, heads) = (keys.size("num_hidden_layers", None)?, Heads { q, kv, dim });
    let intermediate_size = keys.size("intermediate_size", None)?;
    Ok(Config { intermediate_size, ..usual(Sizes { vocab, context, layers, channels, heads }) })
}

/// And back, with rotary positions.
pub(super) fn write_sizes(config: &Config) -> Value {
    let mut json = json!({
        "max_position_embeddings": config.context,
        "hidden_size": config.channels,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads.q,
        "intermediate_size": config.intermediate_size,
        "hidden_act": activation_name(config),
    });
    if let Some(rope) = &config.rope {
        json["rope_parameters"] = rope.parameters();
        if rope.scaling != Scaling::None {
            json["rope_scaling"] = rope.scaling.write();
        }
    }
    json
}

/// Size of a head.
pub(super) fn divide(channels: usize, heads: usize) -> Result<usize, String> {
    match channels.is_multiple_of(heads) {
        true => Ok(channels / heads),
        false => Err(format!("{channels} channels cannot be divided into {heads} heads")),
    }
}

/// An f32 as people write it: 1e-5, not 0.000009999999747378752.
pub(crate) fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a printed f32 is a number")
}
