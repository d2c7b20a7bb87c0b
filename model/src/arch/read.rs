//! `config.json` of transformers 4 or 5 → [`Config`].
//!
//! Reading is strict: a key that changes the arithmetic in a way that this crate does not compute is
//! refused by name, because a model that runs and is slightly wrong is worse than one that does not load.
use super::keys::{IGNORED, Keys};
use crate::net::config::{Activation, Arch, Biases, Config};
use crate::net::rope::Rope;
use kernels::Heads;
use serde_json::Value;

impl Config {
    /// The error says which key, what was expected, what we do.
    pub fn from_hf(json: &Value) -> Result<Config, String> {
        let keys = Keys::new(json.as_object().ok_or("expected a JSON object")?);
        if let Some(how) = keys.get("quantization_config") {
            let method = how["quant_method"].as_str().map_or(String::new(), |method| format!(" by {method}"));
            return Err(format!(
                "`quantization_config`: the weights are quantised{method}, which is not read; take the model that it was \
                 made from, in bf16 or f32, or a GGUF file of it (Q8_0, Q4_K_M)"
            ));
        }
        let config = match arch(&keys)? {
            Arch::Gpt2 => gpt2(&keys)?,
            Arch::GptNeox => gpt_neox(&keys)?,
            other => llama_and_kin(other, &keys)?,
        };
        let config = Config {
            tied: keys.flag("tie_word_embeddings", config.arch == Arch::Gpt2)?,
            bos: keys.ids("bos_token_id")?.first().copied(),
            eos_ids: keys.ids("eos_token_id")?,
            // we never pad, and some files name one that is not there
            pad: keys.ids("pad_token_id")?.first().copied().filter(|&id| (id as usize) < config.vocab),
            ..config
        };
        keys.refuse_unread(IGNORED)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let Heads { q, kv, .. } = self.heads;
        if q % kv != 0 {
            return Err(format!("{q} query heads cannot share {kv} key/value heads evenly"));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps <= 1.0) {
            return Err(format!("the norm's epsilon is {}: expected a number above 0 and at most 1", self.norm_eps));
        }
        if let Some(id) = self.eos_ids.iter().chain(&self.bos).chain(&self.pad).find(|&&id| id as usize >= self.vocab) {
            return Err(format!("special token {id} is not below vocab_size {}", self.vocab));
        }
        Ok(())
    }
}

fn arch(keys: &Keys) -> Result<Arch, String> {
    let known = Arch::ALL.map(Arch::name).join(", ");
    match keys.get("model_type").and_then(Value::as_str) {
        Some(name) => Arch::ALL
            .into_iter()
            .find(|arch| arch.name() == name)
            .ok_or(format!("model_type `{name}` is not known; known are {known}")),
        None => Err(format!("no `model_type`; known are {known}")),
    }
}

fn gpt2(keys: &Keys) -> Result<Config, String> {
    for flag in ["scale_attn_by_inverse_layer_idx", "add_cross_attention"] {
        keys.refuse_flag(flag, true)?;
    }
    keys.refuse_flag("scale_attn_weights", false)?;
    let (channels, q) = (keys.size("n_embd", Some(768))?, keys.size("n_head", Some(12))?);
    divide(channels, q)?;
    let vocab = keys.size("vocab_size", Some(50_257))?;
    let (context, layers) = (keys.size("n_positions", Some(1024))?, keys.size("n_layer", Some(12))?);
    let base = Config::gpt2(vocab, context, layers, channels, q);
    let others = ["hidden_size", "num_attention_heads", "max_position_embeddings", "num_hidden_layers"];
    others.into_iter().zip([channels, q, context, layers]).try_for_each(|(key, size)| keys.same(key, size))?;
    Ok(Config {
        intermediate_size: keys.size("n_inner", Some(4 * channels))?,
        norm_eps: keys.number("layer_norm_epsilon")?.unwrap_or(1e-5) as f32,
        activation: activation(keys, "activation_function", GELU)?.unwrap_or(base.activation),
        ..base
    })
}

fn gpt_neox(keys: &Keys) -> Result<Config, String> {
    let base = sizes(Arch::GptNeox, keys)?;
    let attention = keys.flag("attention_bias", true)?;
    Ok(Config {
        norm_eps: keys.number("layer_norm_eps")?.unwrap_or(1e-5) as f32,
        rope: Some(Rope::read(keys, base.heads.dim, base.context, true)?),
        activation: activation(keys, "hidden_act", GELU)?.unwrap_or(base.activation),
        biases: Biases { qkv: attention, out: attention, mlp: true },
        parallel_residual: keys.flag("use_parallel_residual", true)?,
        ..base
    })
}

/// RMS norm, rotary positions, SwiGLU.
fn llama_and_kin(arch: Arch, keys: &Keys) -> Result<Config, String> {
    let base = sizes(arch, keys)?;
    let attention = matches!(arch, Arch::Llama | Arch::Qwen3) && keys.flag("attention_bias", false)?;
    let biases = Biases {
        qkv: attention || base.biases.qkv,
        out: attention,
        mlp: arch == Arch::Llama && keys.flag("mlp_bias", false)?,
    };
    Ok(Config {
        norm_eps: keys.number("rms_norm_eps")?.unwrap_or(1e-6) as f32,
        rope: Some(Rope::read(keys, base.heads.dim, base.context, false)?),
        activation: activation(keys, "hidden_act", SILU)?.unwrap_or(base.activation),
        biases,
        sliding_window: window(arch, keys)?,
        ..base
    })
}

/// How far each token sees: the same in every layer, or the model is refused.
fn window(arch: Arch, keys: &Keys) -> Result<Option<usize>, String> {
    let window = match arch {
        Arch::Mistral if keys.has("sliding_window") && keys.get("sliding_window").is_none() => None,
        Arch::Mistral => Some(keys.size("sliding_window", Some(4096))?),
        Arch::Qwen2 | Arch::Qwen3 => {
            keys.refuse_flag("use_sliding_window", true)?; // for some layers only
            keys.get("sliding_window"); // of no meaning without
            None
        }
        _ => None,
    };
    let kind = if window.is_some() { "sliding_attention" } else { "full_attention" };
    match keys.get("layer_types") {
        Some(types) if !types.as_array().is_some_and(|t| t.iter().all(|t| t == kind)) => {
            Err(format!("`layer_types`: expected `{kind}` for all, got {types}"))
        }
        _ => Ok(window),
    }
}

/// A model of the sizes that all but GPT-2 spell alike. A size whose default differs between the architectures must
/// be there.
fn sizes(arch: Arch, keys: &Keys) -> Result<Config, String> {
    let (channels, q) = (keys.size("hidden_size", None)?, keys.size("num_attention_heads", None)?);
    let kv = match arch {
        Arch::GptNeox => q,
        Arch::Llama => keys.size("num_key_value_heads", Some(q))?,
        _ => keys.size("num_key_value_heads", None)?,
    };
    let dim = match keys.get("head_dim") {
        None if arch != Arch::Qwen3 => divide(channels, q)?,
        _ => keys.size("head_dim", None)?,
    };
    let (vocab, context) = (keys.size("vocab_size", None)?, keys.size("max_position_embeddings", None)?);
    let base = Config::new(arch, vocab, context, keys.size("num_hidden_layers", None)?, channels, q, kv);
    Ok(Config { heads: Heads { q, kv, dim }, intermediate_size: keys.size("intermediate_size", None)?, ..base })
}

const SILU: &[(&str, Activation)] = &[("silu", Activation::SwiGlu), ("swish", Activation::SwiGlu)];
const GELU: &[(&str, Activation)] = &[
    ("gelu", Activation::GeluErf),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("gelu_python", Activation::GeluErf),
];

fn activation(keys: &Keys, key: &str, known: &[(&str, Activation)]) -> Result<Option<Activation>, String> {
    let Some(value) = keys.get(key) else { return Ok(None) };
    match known.iter().find(|(name, _)| value == name) {
        Some((_, activation)) => Ok(Some(*activation)),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            Err(format!("`{key}: {value}` is not supported; known: {}", names.join(", ")))
        }
    }
}

fn divide(channels: usize, heads: usize) -> Result<usize, String> {
    match channels.is_multiple_of(heads) {
        true => Ok(channels / heads),
        false => Err(format!("{channels} channels cannot be divided into {heads} heads")),
    }
}
