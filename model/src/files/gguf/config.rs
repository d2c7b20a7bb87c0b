//! GGUF's metadata as Hugging Face's config.json, and back. The same strictness as there: a key that changes
//! the arithmetic in a way that config.json cannot say is refused by name.
use super::names::ROPE_FREQS;
use crate::arch::metadata::{Metadata, Reader, Value as Said};
use crate::arch::{self, ARCHS, Arch};
use crate::net::config::{Config, HeadKind, NormKind};
use crate::net::rope::{Rope, Scaling};
use serde_json::{Value, json};

/// Keys below the architecture's name that are understood.
const KNOWN: [&str; 17] = [
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
    let arch = known(metadata)?;
    let said = Reader { arch: arch.gguf.name, metadata, has: &has };
    let mut json = (arch.gguf.read)(&said)?;
    match (scaling(arch, &said, &json, slower)?, json.get("rope_parameters").is_some()) {
        (Scaling::None, _) => {}
        (_, false) => return Err(format!("rotary positions are no part of {}", said.arch)),
        (scaling, true) => {
            let more = scaling.write();
            more.as_object().expect("keys").iter().for_each(|(k, v)| json["rope_parameters"][k] = v.clone());
            json["rope_scaling"] = more;
        }
    }
    json["model_type"] = arch.name.into();
    json["architectures"] = json!([arch.class(HeadKind::Lm)]);
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

/// The architecture, all of whose keys are understood.
fn known(metadata: &Metadata) -> Result<&'static Arch, String> {
    let Some(Said::Text(name)) = metadata.get("general.architecture") else {
        return Err("no `general.architecture`".into());
    };
    let Some(arch) = first_called(name) else {
        let mut known: Vec<&str> = ARCHS.iter().map(|arch| arch.gguf.name).collect();
        known.dedup();
        return Err(format!("`general.architecture` `{name}` is not known; known are {}", known.join(", ")));
    };
    if let Some(Said::Integer(2..)) = metadata.get("split.count") {
        return Err("it is one part of several; join them with llama.cpp's `llama-gguf-split --merge`".into());
    }
    let said = Reader { arch: arch.gguf.name, metadata, has: &|_| false };
    for (key, value) in metadata {
        let own = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        let known = |own: &str| KNOWN.contains(&own) || arch.gguf.keys.contains(&own) || is_neutral(&said, own, value);
        if own.is_some_and(|own| !known(own)) {
            return Err(format!("`{key}` is {}, which is not supported", shown(value)));
        }
    }
    Ok(arch)
}

/// What a file with that `general.architecture` is read as.
fn first_called(name: &str) -> Option<&'static Arch> {
    ARCHS.iter().find(|arch| arch.gguf.name == name)
}

/// Does a key say what is so anyway?
fn is_neutral(said: &Reader, key: &str, value: &Said) -> bool {
    let number = match *value {
        Said::Integer(n) => Some(n as f64),
        Said::Float(x) => Some(x),
        _ => None,
    };
    match (key, value) {
        ("tensor_data_layout", Said::Text(_)) | ("rope.scaling.finetuned", Said::Flag(_)) => true,
        ("attention.causal", Said::Flag(causal)) => *causal,
        ("attention.sliding_window", Said::Integer(window)) => {
            let context = said.size_or_none("context_length").ok().flatten();
            *window == 0 || context.is_some_and(|context| *window as u64 >= context)
        }
        _ => NEUTRAL.iter().any(|(known, values)| *known == key && number.is_some_and(|n| values.contains(&n))),
    }
}

/// Of the rotary positions that `json` describes so far. llama.cpp scales by a factor unless the type is `none`,
/// and 0 is no factor.
fn scaling(arch: &Arch, said: &Reader, json: &Value, slower: Option<&[f32]>) -> Result<Scaling, String> {
    let factor = match said.number("rope.scaling.factor", Some(0.0))? {
        0.0 => said.number("rope.scale_linear", Some(0.0))?,
        factor => factor,
    };
    let key = format!("{}.rope.scaling.type", said.arch);
    let scaling = match said.metadata.get(&key) {
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
    match scaling == Scaling::None && arch.gguf.rope_freqs && head == 2.0 * slower.len() as f64 {
        true => Ok(Rope::from_factors(theta, slower).map_err(|problem| format!("`{ROPE_FREQS}`: {problem}"))?.scaling),
        false => Err(format!("`{ROPE_FREQS}` of {} numbers does not belong to such a model", slower.len())),
    }
}

/// Metadata for a model; without its tokens.
pub fn to_gguf(config: &Config) -> Result<Vec<(String, Said)>, String> {
    let name = arch::of(config).gguf.name;
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
    said.extend((arch::of(config).gguf.write)(config));
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

/// What [`Config`] can say and GGUF's keys cannot, or not so that every reader takes it the same way.
fn refuse_unwritable(config: &Config, said: &[(String, Said)]) -> Result<(), String> {
    let arch = arch::of(config);
    if slower(config).is_some() && !arch.gguf.rope_freqs {
        return Err(format!("rope_type llama3 of {} has no form in GGUF that is read", arch.name));
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
    let wanted = Config { arch: again.arch, sliding_window: None, ..config.clone() };
    // these are written with the tokenizer
    match again == (Config { bos: None, eos_ids: Vec::new(), pad: None, generation: Default::default(), ..wanted }) {
        true => Ok(()),
        false => Err(format!("an activation or biases other than usual in {} have no key in GGUF", arch.name)),
    }
}
