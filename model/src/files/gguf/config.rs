//! GGUF's metadata as Hugging Face's config.json, and back. The same strictness as there: a key that changes
//! the arithmetic in a way that config.json cannot say is refused by name.
use super::names::ROPE_FREQS;
use super::parse::{Metadata, Value as Said};
use crate::net::config::{Arch, Config, NormKind};
use crate::net::rope::{Rope, Scaling};
use serde_json::{Value, json};

/// Keys below the architecture's name that are understood.
const KNOWN: [&str; 18] = [
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.key_length",
    "attention.value_length",
    "rope.freq_base",
    "rope.dimension_count",
    "vocab_size",
    "use_parallel_residual",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.original_context_length",
];

/// Keys that say nothing where they have one of these values, as integers or floats: so it is anyway.
const NEUTRAL: [(&str, &[f64]); 13] = [
    ("expert_count", &[0.0]),
    ("expert_used_count", &[0.0]),
    ("expert_shared_count", &[0.0]),
    ("expert_feed_forward_length", &[0.0]),
    ("leading_dense_block_count", &[0.0]),
    ("pooling_type", &[0.0]),
    ("logit_scale", &[0.0, 1.0]),
    ("embedding_scale", &[0.0, 1.0]),
    ("residual_scale", &[0.0, 1.0]),
    ("attention.scale", &[0.0]),
    ("attention.clamp_kqv", &[0.0]),
    ("attention.max_alibi_bias", &[0.0]),
    ("rope.scaling.attn_factor", &[0.0, 1.0]),
];

/// GGUF's architecture and `model_type`; others are refused.
const ARCHITECTURES: [(&str, &str, &str); 5] = [
    ("llama", "llama", "LlamaForCausalLM"),
    ("qwen2", "qwen2", "Qwen2ForCausalLM"),
    ("qwen3", "qwen3", "Qwen3ForCausalLM"),
    ("gpt2", "gpt2", "GPT2LMHeadModel"),
    ("gptneox", "gpt_neox", "GPTNeoXForCausalLM"),
];

/// The keys of tokens that end an answer.
pub const ENDS: [&str; 3] = ["eos", "eot", "eom"];

/// What a config.json would say. `has` asks for a tensor by GGUF's name, `vocab` is the rows of the embedding, `slower`
/// by how much each rotary pair turns slower, where the file says so in a tensor.
pub fn to_hf(
    metadata: &Metadata,
    vocab: usize,
    has: impl Fn(&str) -> bool,
    slower: Option<&[f32]>,
) -> Result<Value, String> {
    let said = Architecture::of(metadata)?;
    let mut json = match said.name {
        "gpt2" => said.gpt2()?,
        "gptneox" => said.gpt_neox()?,
        _ => said.llama(&has)?,
    };
    match (said.scaling(&json, slower)?, said.name) {
        (Scaling::None, _) => {}
        (_, "gpt2") => return Err("rotary positions are no part of gpt2".into()),
        (scaling, _) => {
            let more = scaling.write();
            more.as_object().expect("keys").iter().for_each(|(k, v)| json["rope_parameters"][k] = v.clone());
            json["rope_scaling"] = more;
        }
    }
    let (_, model_type, class) = *ARCHITECTURES.iter().find(|row| row.0 == said.name).expect("known");
    json["model_type"] = model_type.into();
    json["architectures"] = json!([class]);
    json["vocab_size"] = vocab.into();
    json["tie_word_embeddings"] = (!has("output.weight")).into();
    // An id that is not there is none, as llama.cpp has it.
    let token = |key: &str| match metadata.get(&format!("tokenizer.ggml.{key}_token_id")) {
        None => Ok(None),
        Some(&Said::Integer(id)) => Ok(u64::try_from(id).ok().filter(|&id| id < vocab as u64)),
        Some(_) => Err(format!("`tokenizer.ggml.{key}_token_id`: expected a token id")),
    };
    let mut eos: Vec<u64> = vec![];
    for key in ENDS {
        eos.extend(token(key)?.filter(|id| !eos.contains(id)));
    }
    json["bos_token_id"] = token("bos")?.into();
    json["eos_token_id"] = if let [one] = eos[..] { one.into() } else { json!(eos) };
    json["pad_token_id"] = token("padding")?.into();
    Ok(json)
}

struct Architecture<'a> {
    name: &'static str,
    metadata: &'a Metadata,
}

impl Architecture<'_> {
    fn of(metadata: &Metadata) -> Result<Architecture<'_>, String> {
        let Some(Said::Text(name)) = metadata.get("general.architecture") else {
            return Err("no `general.architecture`".into());
        };
        let known = ARCHITECTURES.map(|row| row.0);
        let Some(name) = known.into_iter().find(|known| known == name) else {
            return Err(format!("`general.architecture` `{name}` is not known; known are {}", known.join(", ")));
        };
        if let Some(Said::Integer(2..)) = metadata.get("split.count") {
            return Err("it is one part of several; join them with llama.cpp's `llama-gguf-split --merge`".into());
        }
        let said = Architecture { name, metadata };
        for (key, value) in metadata {
            let own = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            if own.is_some_and(|own| !KNOWN.contains(&own) && !said.is_neutral(own, value)) {
                return Err(format!("`{key}` is {}, which is not supported", shown(value)));
            }
        }
        Ok(said)
    }

    /// Does a key say what is so anyway?
    fn is_neutral(&self, key: &str, value: &Said) -> bool {
        let number = match *value {
            Said::Integer(n) => Some(n as f64),
            Said::Float(x) => Some(x),
            _ => None,
        };
        match (key, value) {
            ("tensor_data_layout", Said::Text(_)) | ("rope.scaling.finetuned", Said::Flag(_)) => true,
            ("attention.causal", Said::Flag(causal)) => *causal,
            ("attention.sliding_window", Said::Integer(window)) => {
                let context = self.size_or_none("context_length").ok().flatten();
                *window == 0 || context.is_some_and(|context| *window as u64 >= context)
            }
            _ => NEUTRAL.iter().any(|(known, values)| *known == key && number.is_some_and(|n| values.contains(&n))),
        }
    }

    /// Of the rotary positions that `json` describes so far. llama.cpp scales by a factor unless the type is `none`,
    /// and 0 is no factor.
    fn scaling(&self, json: &Value, slower: Option<&[f32]>) -> Result<Scaling, String> {
        let factor = match self.number("rope.scaling.factor", Some(0.0))? {
            0.0 => self.number("rope.scale_linear", Some(0.0))?,
            factor => factor,
        };
        let key = format!("{}.rope.scaling.type", self.name);
        let scaling = match self.metadata.get(&key) {
            Some(Said::Text(kind)) if kind == "none" => Scaling::None,
            Some(Said::Text(kind)) if kind != "linear" => return Err(format!("`{key}` {kind} is not supported")),
            Some(Said::Text(_)) | None if factor == 0.0 || factor == 1.0 => Scaling::None,
            Some(Said::Text(_)) | None => Scaling::Linear { factor },
            Some(_) => return Err(format!("`{key}`: expected a text")),
        };
        let Some(slower) = slower.filter(|slower| slower.iter().any(|&factor| factor != 1.0)) else {
            return Ok(scaling);
        };
        let head = json["head_dim"].as_f64().unwrap_or(0.0) * json["partial_rotary_factor"].as_f64().unwrap_or(1.0);
        let theta = json["rope_theta"].as_f64().unwrap_or(0.0);
        match scaling == Scaling::None && self.name == "llama" && head == 2.0 * slower.len() as f64 {
            true => {
                Ok(Rope::from_factors(theta, slower).map_err(|problem| format!("`{ROPE_FREQS}`: {problem}"))?.scaling)
            }
            false => Err(format!("`{ROPE_FREQS}` of {} numbers does not belong to such a model", slower.len())),
        }
    }

    /// A whole number under a key that need not be there.
    fn any(&self, key: &str) -> Result<Option<u64>, String> {
        match self.metadata.get(key) {
            None => Ok(None),
            Some(&Said::Integer(n)) if n >= 0 => Ok(Some(n as u64)),
            // One for each layer: the same for all.
            Some(Said::Integers(all)) if all.first().is_some_and(|&n| n >= 0 && all.iter().all(|&m| m == n)) => {
                Ok(Some(all[0] as u64))
            }
            Some(_) => Err(format!("`{key}`: expected a whole number")),
        }
    }

    fn size_or_none(&self, key: &str) -> Result<Option<u64>, String> {
        self.any(&format!("{}.{key}", self.name))
    }

    fn size(&self, key: &str) -> Result<u64, String> {
        self.size_or_none(key)?.ok_or_else(|| format!("no `{}.{key}`", self.name))
    }

    fn number(&self, key: &str, default: Option<f64>) -> Result<f64, String> {
        let key = format!("{}.{key}", self.name);
        match (self.metadata.get(&key), default) {
            // As people write it: 1e-5, not 0.000009999999747378752.
            (Some(&Said::Float(x)), _) => Ok((x as f32).to_string().parse().expect("a printed number is one")),
            (None, Some(default)) => Ok(default),
            (Some(&Said::Integer(n)), _) => Ok(n as f64),
            (None, None) => Err(format!("no `{key}`")),
            (Some(_), _) => Err(format!("`{key}`: expected a number")),
        }
    }

    /// Size of a head, and the share of it that turns.
    fn head(&self, channels: u64, heads: u64) -> Result<(u64, f64), String> {
        let size = match self.size_or_none("attention.key_length")? {
            Some(size) => size,
            None if heads > 0 && channels.is_multiple_of(heads) => channels / heads,
            None => return Err(format!("{channels} channels cannot be divided into {heads} heads")),
        };
        if self.size_or_none("attention.value_length")?.is_some_and(|value| value != size) {
            return Err("values and keys of different sizes are not supported".into());
        }
        let turned = self.size_or_none("rope.dimension_count")?.unwrap_or(size);
        Ok((size, turned as f64 / size as f64))
    }

    /// Llama, Qwen 2 and 3.
    fn llama(&self, has: impl Fn(&str) -> bool) -> Result<Value, String> {
        let (channels, heads) = (self.size("embedding_length")?, self.size("attention.head_count")?);
        let (head, turned) = self.head(channels, heads)?;
        let theta = self.number("rope.freq_base", Some(10_000.0))?;
        let mut json = json!({
            "max_position_embeddings": self.size("context_length")?,
            "hidden_size": channels,
            "num_hidden_layers": self.size("block_count")?,
            "num_attention_heads": heads,
            "num_key_value_heads": self.size_or_none("attention.head_count_kv")?.unwrap_or(heads),
            "head_dim": head,
            "intermediate_size": self.size("feed_forward_length")?,
            "hidden_act": "silu",
            "rms_norm_eps": self.number("attention.layer_norm_rms_epsilon", None)?,
            "rope_theta": theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        });
        if turned != 1.0 {
            json["partial_rotary_factor"] = turned.into();
        }
        if self.name == "llama" {
            json["attention_bias"] = has("blk.0.attn_q.bias").into();
            json["mlp_bias"] = has("blk.0.ffn_gate.bias").into();
        }
        Ok(json)
    }

    fn gpt2(&self) -> Result<Value, String> {
        Ok(json!({
            "n_positions": self.size("context_length")?,
            "n_embd": self.size("embedding_length")?,
            "n_layer": self.size("block_count")?,
            "n_head": self.size("attention.head_count")?,
            "n_inner": self.size("feed_forward_length")?,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": self.number("attention.layer_norm_epsilon", None)?,
        }))
    }

    fn gpt_neox(&self) -> Result<Value, String> {
        let (channels, heads) = (self.size("embedding_length")?, self.size("attention.head_count")?);
        let (_, turned) = self.head(channels, heads)?;
        let theta = self.number("rope.freq_base", Some(10_000.0))?;
        let parallel = match self.metadata.get("gptneox.use_parallel_residual") {
            None => true,
            Some(Said::Flag(parallel)) => *parallel,
            Some(_) => return Err("`gptneox.use_parallel_residual`: expected true or false".into()),
        };
        Ok(json!({
            "max_position_embeddings": self.size("context_length")?,
            "hidden_size": channels,
            "num_hidden_layers": self.size("block_count")?,
            "num_attention_heads": heads,
            "intermediate_size": self.size("feed_forward_length")?,
            "hidden_act": "gelu",
            "layer_norm_eps": self.number("attention.layer_norm_epsilon", None)?,
            "use_parallel_residual": parallel,
            "rotary_pct": turned,
            "rotary_emb_base": theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": turned},
        }))
    }
}

/// Metadata for a model; without its tokens.
pub fn to_gguf(config: &Config) -> Result<Vec<(String, Said)>, String> {
    let arch = in_gguf(config.arch);
    let (name, ..) = *ARCHITECTURES.iter().find(|row| row.1 == arch.name()).expect("all but Mistral are there");
    let size = |n: usize| Said::Integer(n as i64);
    let epsilon = match config.norm {
        NormKind::Rms => "attention.layer_norm_rms_epsilon",
        NormKind::Layer => "attention.layer_norm_epsilon",
    };
    let mut said = vec![
        ("context_length", size(config.context)),
        ("embedding_length", size(config.channels)),
        ("block_count", size(config.layers)),
        ("feed_forward_length", size(config.intermediate_size)),
        ("attention.head_count", size(config.heads.q)),
        (epsilon, Said::Float(config.norm_eps.into())),
        ("vocab_size", size(config.vocab)),
    ];
    if let Some(Rope { scaling: Scaling::Linear { factor }, .. }) = config.rope {
        said.extend([("rope.scaling.type", Said::Text("linear".into())), ("rope.scaling.factor", Said::Float(factor))]);
    }
    if let Some(rope) = &config.rope {
        said.extend([("rope.freq_base", Said::Float(rope.theta)), ("rope.dimension_count", size(rope.rotary_dim))]);
    }
    match arch {
        Arch::Gpt2 => {}
        Arch::GptNeox => said.push(("use_parallel_residual", Said::Flag(config.parallel_residual))),
        _ => said.extend([
            ("attention.head_count_kv", size(config.heads.kv)),
            ("attention.key_length", size(config.heads.dim)),
            ("attention.value_length", size(config.heads.dim)),
        ]),
    }
    let said = said.into_iter().map(|(key, value)| (format!("{name}.{key}"), value));
    let said: Vec<_> = [("general.architecture".into(), Said::Text(name.into()))].into_iter().chain(said).collect();
    refuse_unwritable(config, &said)?;
    Ok(said)
}

/// The numbers of `rope_freqs.weight`, where the positions are scaled so that only it can say it.
pub fn slower(config: &Config) -> Option<Vec<f32>> {
    let rope = config.rope.as_ref()?;
    matches!(rope.scaling, Scaling::Llama3 { .. }).then(|| rope.factors())
}

fn shown(value: &Said) -> String {
    match value {
        Said::Integer(n) => n.to_string(),
        Said::Float(x) => (*x as f32).to_string(),
        Said::Flag(flag) => flag.to_string(),
        Said::Text(text) => text.chars().take(64).collect::<String>().escape_debug().to_string(),
        _ => "a list".into(),
    }
}

/// llama.cpp has one architecture for both.
fn in_gguf(arch: Arch) -> Arch {
    if arch == Arch::Mistral { Arch::Llama } else { arch }
}

/// What [`Config`] can say and GGUF's keys cannot, or not so that every reader takes it the same way.
fn refuse_unwritable(config: &Config, said: &[(String, Said)]) -> Result<(), String> {
    if slower(config).is_some() && in_gguf(config.arch) != Arch::Llama {
        return Err(format!("rope_type llama3 of {} has no form in GGUF that is read", config.arch.name()));
    }
    if config.sliding_window.is_some_and(|window| window < config.context) {
        return Err("`sliding_window` cannot be written as GGUF by this program".into());
    }
    let has = |name: &str| match name {
        "output.weight" => !config.tied,
        "blk.0.attn_q.bias" => config.biases.qkv,
        _ => config.biases.mlp,
    };
    let again = to_hf(&said.iter().cloned().collect(), config.vocab, has, slower(config).as_deref())?;
    let again = Config::from_hf(&again)?;
    // as f32, and maybe in other words
    let scaled = config.rope.is_some_and(|rope| rope.scaling != Scaling::None);
    let again = Config { rope: if scaled { config.rope } else { again.rope }, ..again };
    let wanted = Config { arch: in_gguf(config.arch), sliding_window: None, ..config.clone() };
    // these are written with the tokenizer
    match again == (Config { bos: None, eos_ids: Vec::new(), pad: None, generation: Default::default(), ..wanted }) {
        true => Ok(()),
        false => Err(format!("an activation or biases other than usual in {} have no key in GGUF", config.arch.name())),
    }
}
