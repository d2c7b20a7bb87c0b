//! A model as it lies on the disk, a directory or a GGUF file: what its config.json says, and its tensors, each
//! checked before it is read.
use crate::arch::keys::SCORE_BIAS;
use crate::arch::keys::ids;
use crate::arch::tensors::tensor_maps;
use crate::error::{ModelError, Result};
use crate::files::atomic::read_text;
use crate::files::gguf::{self, Value as Said, is_gguf};
use crate::files::weights::Weights;
use crate::json;
use crate::net::config::{Config, HeadKind};
use crate::net::transformer::Transformer;
use crate::tokenizer::Tokenizer;
use autograd::ParamsBuilder;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where a directory has its chat template.
pub const TEMPLATE: &str = "chat_template.jinja";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The chat template in GGUF.
pub(crate) const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// Chat template that a model brings.
pub struct ChatTemplate {
    /// In Jinja.
    pub text: String,
    /// The file that it stands in.
    pub path: PathBuf,
    /// Tokens that it may use by these names: `bos_token`, `eos_token`, …
    pub tokens: BTreeMap<String, String>,
}

/// A template's names of tokens, and GGUF's.
const TOKENS: [(&str, &str); 4] =
    [("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding")];

/// The chat template of a model, wherever it has it; `None` where it has none.
///
/// # Errors
/// A file that cannot be read as what it is.
pub fn chat_template(path: &Path) -> Result<Option<ChatTemplate>> {
    if is_gguf(path) {
        return gguf_template(path);
    }
    let (dir, file, config) = (path, path.join(TEMPLATE), path.join(TOKENIZER_CONFIG));
    let said = if config.exists() { parse_json(&config, &read_text(&config, 64 << 20)?)? } else { Value::Null };
    let (text, path) = match file.exists() {
        true => (Some(read_text(&file, 1 << 20)?), file),
        false => (in_config(&said["chat_template"]), config),
    };
    let tokens = Tokenizer::roles_beside(dir).map_err(|error| ModelError::request(error.to_string(), "Mend it."))?;
    Ok(text.map(|text| ChatTemplate { text, path, tokens }))
}

/// One template, or several by name, of which `default` is meant.
fn in_config(value: &Value) -> Option<String> {
    let named = || value.as_array()?.iter().find(|one| one["name"] == "default")?["template"].as_str();
    value.as_str().or_else(named).map(String::from)
}

fn gguf_template(path: &Path) -> Result<Option<ChatTemplate>> {
    let metadata = gguf::metadata(path)?;
    let text = match metadata.get(TEMPLATE_KEY) {
        None => return Ok(None),
        Some(Said::Text(text)) => text.clone(),
        Some(_) => {
            return Err(ModelError::file(path, format!("`{TEMPLATE_KEY}`: expected a text"), "Download it again."));
        }
    };
    let token = |key: &str| match (
        metadata.get("tokenizer.ggml.tokens"),
        metadata.get(&format!("tokenizer.ggml.{key}_token_id")),
    ) {
        (Some(Said::Texts(tokens)), Some(&Said::Integer(id))) => tokens.get(usize::try_from(id).ok()?).cloned(),
        _ => None,
    };
    let tokens = TOKENS.iter().filter_map(|(name, key)| Some((name.to_string(), token(key)?))).collect();
    Ok(Some(ChatTemplate { text, path: path.into(), tokens }))
}

/// A model as it lies on the disk: what its config.json says, and its tensors under Hugging Face's names.
pub(crate) struct Source {
    pub(crate) json: Value,
    pub(crate) config: Config,
    pub(crate) weights: Weights,
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Source> {
        let (mut json, mut config, mut weights) = match is_gguf(path) {
            false => {
                let json = read_json(&path.join("config.json"))?;
                (json.clone(), load_config(path, &json)?, Weights::open(path)?)
            }
            true => {
                let archive = gguf::Archive::open(path)?;
                let json = archive.config.clone();
                let mut config = parse_config(path, &json)?;
                let wrong = |problem| ModelError::file(path, problem, "Convert it again.");
                config.generation = gguf::generation(&archive.metadata).map_err(wrong)?;
                (json, config, Weights::of_gguf(path, archive))
            }
        };
        if weights.head(&json) == HeadKind::Lm && weights.ties(&config) != config.tied {
            config.tied = false;
            json["tie_word_embeddings"] = false.into();
        }
        Ok(Source { json, config, weights })
    }

    /// The files hold as many numbers as the config describes.
    pub(crate) fn check_size(&self) -> Result<HeadKind> {
        let head = self.weights.head(&self.json);
        self.weights.check_size(&self.config, head)?;
        Ok(head)
    }

    /// The network without its numbers.
    pub(crate) fn declare(&self) -> Result<(Transformer, ParamsBuilder)> {
        let head = self.check_size()?;
        Ok(Transformer::declare(&self.config, head, None))
    }

    /// What is added to every score.
    pub(crate) fn score_bias(&self, path: &Path) -> Result<f32> {
        let number = self.json.get(SCORE_BIAS).map_or(Some(0.0), Value::as_f64);
        number.map(|number| number as f32).ok_or_else(|| {
            ModelError::file(
                &path.join("config.json"),
                format!("`{SCORE_BIAS}`: expected a number"),
                "Mend or remove it.",
            )
        })
    }

    /// The network without its numbers, and the names and shapes of its tensors, all of which are there.
    pub(crate) fn tensors(&self) -> Result<(Transformer, Vec<(String, Vec<usize>)>)> {
        let (model, builder) = self.declare()?;
        let mut used = BTreeSet::new();
        let shapes = tensor_maps(&model).into_iter().map(|map| {
            let shape = map.hf_shape(builder.shape(map.param));
            used.insert(self.weights.find(&map, &shape)?.1.to_string());
            Ok((map.name, shape))
        });
        let shapes = shapes.collect::<Result<_>>()?;
        self.weights.refuse_others(&used, &model)?;
        Ok((model, shapes))
    }

    /// The numbers of one of them.
    pub(crate) fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        self.weights.read_into(name, out)
    }
}

pub(crate) fn load_config(dir: &Path, json: &Value) -> Result<Config> {
    let mut config = parse_config(&dir.join("config.json"), json)?;
    add_generation(dir, &mut config)?;
    Ok(config)
}

/// What generation_config.json says, if it is there: of the end tokens it has the last word.
pub(crate) fn add_generation(dir: &Path, config: &mut Config) -> Result<()> {
    let path = dir.join("generation_config.json");
    if !path.exists() {
        return Ok(());
    }
    let wrong = |problem: String| ModelError::file(&path, problem, "Mend or remove it.");
    let Value::Object(mut generation) = read_json(&path)? else { return Err(wrong("expected a JSON object".into())) };
    let eos = ids(generation.get("eos_token_id")).map_err(|e| wrong(format!("`eos_token_id`: {e}")))?;
    if let Some(&id) = eos.iter().find(|&&id| id as usize >= config.vocab) {
        return Err(wrong(format!("`eos_token_id` {id} is not below vocab_size {}", config.vocab)));
    }
    if !eos.is_empty() {
        config.eos_ids = eos;
    }
    // what the config says itself is not said twice
    generation.remove("eos_token_id");
    if generation.get("bos_token_id").is_some_and(|id| *id == serde_json::json!(config.bos)) {
        generation.remove("bos_token_id");
    }
    config.generation = generation;
    Ok(())
}

/// generation_config.json with the end tokens that the config has.
pub(crate) fn generation_config(config: &Config) -> Value {
    let mut said = config.generation.clone();
    said.entry("bos_token_id").or_insert(config.bos.into());
    said.insert("eos_token_id".into(), config.eos_to_hf());
    Value::Object(said)
}

fn parse_config(path: &Path, json: &Value) -> Result<Config> {
    Config::from_hf(json)
        .map_err(|problem| ModelError::file(path, problem, "Give a model that this program can compute."))
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    parse_json(path, &read_text(path, 1 << 20)?)
}

fn parse_json(path: &Path, text: &str) -> Result<Value> {
    json::parse(text).map_err(|e| ModelError::file(path, format!("cannot be read as JSON: {e}"), "Mend it."))
}
