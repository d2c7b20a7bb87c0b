//! What a model is made of, and Hugging Face's `config.json` in and out.
//!
//! Reading is strict: a key that changes the arithmetic in a way that this crate does not compute is
//! refused by name, because a model that runs and is slightly wrong is worse than one that does not load.
use kernels::Heads;
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Layer norm, learned positions, GELU, biases everywhere (Radford et al. 2019).
    Gpt2,
    /// RMS norm, rotary positions, SwiGLU, grouped key/value heads, no biases (Touvron et al. 2023).
    Llama,
}

/// What the model says about a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Logits of the next token.
    Lm,
    /// One number a token: a reward or a value.
    Score,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub arch: Arch,
    /// V
    pub vocab: usize,
    /// T, the longest sequence.
    pub context: usize,
    /// L
    pub layers: usize,
    /// C
    pub channels: usize,
    pub heads: Heads,
    /// F, the width between the two halves of the MLP.
    pub hidden: usize,
    pub norm_eps: f32,
    /// Does the language-model head use the embedding's weights?
    pub tied: bool,
    /// Base of the rotary frequencies; of no meaning for GPT-2.
    pub rope_theta: f64,
    pub bos: Option<u32>,
    /// Any of these ends an answer.
    pub eos: Vec<u32>,
    /// What others fill batches with. We never pad; `transformers` wants it for scores (see `hf.rs`).
    pub pad: Option<u32>,
}

impl Config {
    /// A GPT-2 of this size: F = 4C, tied head.
    pub fn gpt2(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize) -> Config {
        let dim = channels / heads;
        Config {
            arch: Arch::Gpt2,
            vocab,
            context,
            layers,
            channels,
            heads: Heads { q: heads, kv: heads, dim },
            hidden: 4 * channels,
            norm_eps: 1e-5,
            tied: true,
            rope_theta: 10_000.0,
            bos: None,
            eos: Vec::new(),
            pad: None,
        }
    }

    /// A Llama of this size: F = 8C/3 rounded up to a multiple of 32, tied head.
    pub fn llama(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize, kv: usize) -> Config {
        Config {
            arch: Arch::Llama,
            heads: Heads { q: heads, kv, dim: channels / heads },
            hidden: (8 * channels).div_ceil(3).next_multiple_of(32),
            ..Config::gpt2(vocab, context, layers, channels, heads)
        }
    }

    /// Number of parameters, the fixed ones of a score head included. None if it does not fit an integer.
    pub fn parameters(&self, head: HeadKind) -> Option<usize> {
        let (c, f) = (self.channels, self.hidden);
        let attention = self.heads.qkv().checked_add(self.heads.q.checked_mul(self.heads.dim)?)?.checked_mul(c)?;
        let mlp = f.checked_mul(c)?;
        let layer = match self.arch {
            Arch::Gpt2 => attention.checked_add(mlp.checked_mul(2)?)?.checked_add(self.heads.qkv() + 6 * c + f)?,
            Arch::Llama => attention.checked_add(mlp.checked_mul(3)?)?.checked_add(2 * c)?,
        };
        let embed = self.vocab.checked_mul(c)?;
        let around = match self.arch {
            Arch::Gpt2 => self.context.checked_mul(c)?.checked_add(2 * c)?,
            Arch::Llama => c,
        };
        let head = match head {
            HeadKind::Score => c + 1,
            HeadKind::Lm if self.tied => 0,
            HeadKind::Lm => embed,
        };
        layer.checked_mul(self.layers)?.checked_add(embed)?.checked_add(around)?.checked_add(head)
    }

    /// Read a `config.json` of transformers 4 or 5. The error says which key, what was expected, what we do.
    pub fn from_hf(json: &Value) -> Result<Config, String> {
        let keys = Keys(json.as_object().ok_or("expected a JSON object")?);
        keys.refuse_set("quantization_config", "quantised weights")?;
        let config = match keys.0.get("model_type").and_then(Value::as_str) {
            Some("gpt2") => from_gpt2(&keys)?,
            Some("llama") => from_llama(&keys)?,
            Some(other) => return Err(format!("model_type `{other}` is not known; known are `gpt2` and `llama`")),
            None => return Err("no `model_type`; known are `gpt2` and `llama`".into()),
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let Heads { q, kv, dim } = self.heads;
        let sizes = [self.vocab, self.context, self.layers, self.channels, q, kv, dim, self.hidden];
        if sizes.iter().any(|&size| size == 0 || size > u32::MAX as usize / 4) {
            return Err(format!("a size is 0 or absurd: {self:?}"));
        }
        if q % kv != 0 {
            return Err(format!("{q} query heads cannot share {kv} key/value heads evenly"));
        }
        if self.arch == Arch::Llama && dim % 2 != 0 {
            return Err(format!("rotary positions need an even head size, got {dim}"));
        }
        if let Some(id) = self.eos.iter().chain(&self.bos).chain(&self.pad).find(|&&id| id as usize >= self.vocab) {
            return Err(format!("special token {id} is not below vocab_size {}", self.vocab));
        }
        Ok(())
    }

    /// As `config.json`: both forms of the rotary base, so that transformers 4 and 5 compute the same.
    pub fn to_hf(&self, head: HeadKind) -> Value {
        let mut json = match self.arch {
            Arch::Gpt2 => self.to_gpt2(),
            Arch::Llama => self.to_llama(),
        };
        let family = if self.arch == Arch::Gpt2 { "GPT2" } else { "Llama" };
        json["architectures"] = match (head, self.arch) {
            (HeadKind::Score, _) => json!([format!("{family}ForSequenceClassification")]),
            (HeadKind::Lm, Arch::Gpt2) => json!(["GPT2LMHeadModel"]),
            (HeadKind::Lm, Arch::Llama) => json!(["LlamaForCausalLM"]),
        };
        if head == HeadKind::Score {
            json["num_labels"] = 1.into();
        }
        json["dtype"] = "float32".into();
        json["vocab_size"] = self.vocab.into();
        json["tie_word_embeddings"] = self.tied.into();
        json["bos_token_id"] = self.bos.into();
        json["eos_token_id"] = self.eos_to_hf();
        json["pad_token_id"] = self.pad.into();
        json
    }

    /// A number, a list of several, or null.
    pub(crate) fn eos_to_hf(&self) -> Value {
        match self.eos[..] {
            [] => Value::Null,
            [one] => one.into(),
            _ => json!(self.eos),
        }
    }

    fn to_gpt2(&self) -> Value {
        json!({
            "model_type": "gpt2",
            "n_positions": self.context,
            "n_embd": self.channels,
            "n_layer": self.layers,
            "n_head": self.heads.q,
            "n_inner": self.hidden,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": decimal(self.norm_eps),
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
        })
    }

    fn to_llama(&self) -> Value {
        json!({
            "model_type": "llama",
            "max_position_embeddings": self.context,
            "hidden_size": self.channels,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads.q,
            "num_key_value_heads": self.heads.kv,
            "head_dim": self.heads.dim,
            "intermediate_size": self.hidden,
            "hidden_act": "silu",
            "rms_norm_eps": decimal(self.norm_eps),
            "attention_bias": false,
            "mlp_bias": false,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
        })
    }
}

/// An f32 as people write it: 1e-5, not 0.000009999999747378752.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a printed f32 is a number")
}

fn from_gpt2(keys: &Keys) -> Result<Config, String> {
    keys.refuse_other("activation_function", &["gelu_new", "gelu_pytorch_tanh", "gelu_fast"])?;
    keys.refuse_flag("scale_attn_by_inverse_layer_idx", true)?;
    keys.refuse_flag("add_cross_attention", true)?;
    keys.refuse_flag("scale_attn_weights", false)?;
    let (channels, q) = (keys.size("n_embd", Some(768))?, keys.size("n_head", Some(12))?);
    let dim = divide(channels, q)?;
    Ok(Config {
        arch: Arch::Gpt2,
        vocab: keys.size("vocab_size", Some(50_257))?,
        context: keys.size("n_positions", Some(1024))?,
        layers: keys.size("n_layer", Some(12))?,
        channels,
        heads: Heads { q, kv: q, dim },
        hidden: keys.size("n_inner", channels.checked_mul(4))?,
        norm_eps: keys.number("layer_norm_epsilon", 1e-5)? as f32,
        tied: keys.flag("tie_word_embeddings", true)?,
        rope_theta: 10_000.0,
        bos: keys.ids("bos_token_id")?.first().copied(),
        eos: keys.ids("eos_token_id")?,
        pad: keys.ids("pad_token_id")?.first().copied(),
    })
}

fn from_llama(keys: &Keys) -> Result<Config, String> {
    keys.refuse_other("hidden_act", &["silu", "swish"])?;
    keys.refuse_flag("attention_bias", true)?;
    keys.refuse_flag("mlp_bias", true)?;
    let (channels, q) = (keys.size("hidden_size", None)?, keys.size("num_attention_heads", None)?);
    let dim = match keys.0.get("head_dim") {
        None | Some(Value::Null) => divide(channels, q)?,
        Some(_) => keys.size("head_dim", None)?,
    };
    Ok(Config {
        arch: Arch::Llama,
        vocab: keys.size("vocab_size", None)?,
        context: keys.size("max_position_embeddings", Some(2048))?,
        layers: keys.size("num_hidden_layers", None)?,
        channels,
        heads: Heads { q, kv: keys.size("num_key_value_heads", Some(q))?, dim },
        hidden: keys.size("intermediate_size", None)?,
        norm_eps: keys.number("rms_norm_eps", 1e-6)? as f32,
        tied: keys.flag("tie_word_embeddings", false)?,
        rope_theta: rope_theta(keys)?,
        bos: keys.ids("bos_token_id")?.first().copied(),
        eos: keys.ids("eos_token_id")?,
        pad: keys.ids("pad_token_id")?.first().copied(),
    })
}

/// transformers 5: `rope_parameters: {rope_type, rope_theta, …}`; 4: `rope_theta` and maybe `rope_scaling`.
fn rope_theta(keys: &Keys) -> Result<f64, String> {
    let mut theta = keys.number("rope_theta", 10_000.0)?;
    for name in ["rope_parameters", "rope_scaling"] {
        let inner = match keys.0.get(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(inner)) => Keys(inner),
            Some(other) => return Err(format!("`{name}`: expected an object, got {other}")),
        };
        for kind in ["rope_type", "type"] {
            inner.refuse_other(kind, &["default"]).map_err(|e| format!("`{name}`: {e}"))?;
        }
        if inner.number("partial_rotary_factor", 1.0)? != 1.0 {
            return Err(format!("`{name}`: `partial_rotary_factor` other than 1 is not supported"));
        }
        theta = inner.number("rope_theta", theta)?;
    }
    if keys.number("partial_rotary_factor", 1.0)? != 1.0 {
        return Err("`partial_rotary_factor` other than 1 is not supported".into());
    }
    match theta.is_finite() && theta > 0.0 {
        true => Ok(theta),
        false => Err(format!("`rope_theta`: expected a positive number, got {theta}")),
    }
}

fn divide(channels: usize, heads: usize) -> Result<usize, String> {
    match heads > 0 && channels.is_multiple_of(heads) {
        true => Ok(channels / heads),
        false => Err(format!("{channels} channels cannot be divided into {heads} heads")),
    }
}

/// The keys of a JSON object, read with errors that name them. A key that is null is as one that is absent.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str, default: Option<usize>) -> Result<usize, String> {
        match (self.get(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("no `{key}`: expected a whole number")),
            (Some(value), _) => value
                .as_u64()
                .and_then(|n| usize::try_from(n).ok())
                .ok_or(format!("`{key}`: expected a whole number, got {value}")),
        }
    }

    fn number(&self, key: &str, default: f64) -> Result<f64, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or(format!("`{key}`: expected a number, got {value}")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or(format!("`{key}`: expected true or false, got {value}")),
        }
    }

    fn ids(&self, key: &str) -> Result<Vec<u32>, String> {
        ids(self.0.get(key)).map_err(|e| format!("`{key}`: {e}"))
    }

    fn refuse_flag(&self, key: &str, value: bool) -> Result<(), String> {
        match self.flag(key, !value)? == value {
            true => Err(format!("`{key}: {value}` is not supported")),
            false => Ok(()),
        }
    }

    fn refuse_set(&self, key: &str, what: &str) -> Result<(), String> {
        match self.get(key) {
            Some(_) => Err(format!("`{key}`: {what} are not supported")),
            None => Ok(()),
        }
    }

    fn refuse_other(&self, key: &str, known: &[&str]) -> Result<(), String> {
        match self.get(key) {
            Some(value) if !value.as_str().is_some_and(|v| known.contains(&v)) => {
                Err(format!("`{key}: {value}` is not supported; known: {}", known.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

/// Token ids as Hugging Face writes them: absent, null, a number, or a list of numbers.
pub(crate) fn ids(value: Option<&Value>) -> Result<Vec<u32>, String> {
    let one = |v: &Value| {
        v.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(format!("expected a token id or a list of them, got {v}"))
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn llama() -> Value {
        json!({
            "model_type": "llama", "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 5,
            "num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 512, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 512, "rope_theta": 5e5, "eos_token_id": [2, 3], "bos_token_id": 1,
        })
    }

    #[test]
    fn both_forms_of_the_rotary_base() {
        let four = Config::from_hf(&llama()).unwrap();
        assert_eq!((four.rope_theta, four.heads.dim, &four.eos[..]), (5e5, 8, &[2, 3][..]));
        let mut json = llama();
        json.as_object_mut().unwrap().remove("rope_theta");
        json["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 5e5});
        assert_eq!(Config::from_hf(&json).unwrap(), four);
    }

    #[test]
    fn what_is_written_reads_back() {
        let gpt2 = Config { bos: Some(0), eos: vec![0], ..Config::gpt2(300, 64, 2, 32, 4) };
        let llama = Config { pad: Some(7), eos: vec![1, 2], tied: false, ..Config::llama(300, 64, 2, 32, 4, 2) };
        for config in [gpt2, llama] {
            for head in [HeadKind::Lm, HeadKind::Score] {
                assert_eq!(Config::from_hf(&config.to_hf(head)).unwrap(), config);
            }
        }
        assert_eq!(Config::gpt2(9, 9, 1, 8, 1).to_hf(HeadKind::Lm)["layer_norm_epsilon"], json!(1e-5));
    }

    #[test]
    fn refused_by_name() {
        let cases = [
            ("model_type", json!("mamba"), "mamba"),
            ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0}), "yarn"),
            ("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4}), "llama3"),
            ("rope_scaling", json!({"type": "linear", "factor": 2.0}), "linear"),
            ("hidden_act", json!("gelu"), "hidden_act"),
            ("attention_bias", json!(true), "attention_bias"),
            ("mlp_bias", json!(true), "mlp_bias"),
            ("quantization_config", json!({"bits": 4}), "quantization_config"),
            ("num_key_value_heads", json!(3), "key/value heads"),
            ("hidden_size", json!(-1), "hidden_size"),
            ("hidden_size", json!(u64::MAX), "head"),
            ("vocab_size", json!(0), "size is 0"),
            ("eos_token_id", json!(512), "512"),
            ("eos_token_id", json!("</s>"), "eos_token_id"),
            ("rope_theta", json!(0.0), "rope_theta"),
        ];
        for (key, value, says) in cases {
            let mut json = llama();
            json[key] = value;
            let error = Config::from_hf(&json).unwrap_err();
            assert!(error.contains(says), "{key}: {error}");
        }
        let gpt2 = |key: &str, value: Value| {
            let mut json = json!({"model_type": "gpt2"});
            json[key] = value;
            Config::from_hf(&json)
        };
        assert!(gpt2("scale_attn_by_inverse_layer_idx", json!(true)).is_err());
        assert!(gpt2("scale_attn_weights", json!(false)).is_err());
        assert!(gpt2("activation_function", json!("relu")).is_err());
        assert_eq!(gpt2("n_inner", Value::Null).unwrap().parameters(HeadKind::Lm), Some(124_439_808));
    }
}
