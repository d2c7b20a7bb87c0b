//! From one kind of model file to another, and from one width of numbers to another: one tensor in memory at a
//! time.
use crate::error::{At, ModelError, Result};
use crate::files::atomic::{beside, rename, sync_dir, write_json};
use crate::files::dtype::Dtype;
use crate::files::gguf::{self, Value, is_gguf, named_gguf};

use crate::files::peft;
use crate::files::safetensors;
use crate::files::source::{Source, TEMPLATE, TEMPLATE_KEY, TOKENIZER_CONFIG, chat_template, generation_config};
use crate::net::config::{Config, HeadKind};
use crate::tokenizer::{TEMPLATES, Tokenizer, TokenizerError};
use serde_json::json;
use std::fs;
use std::path::Path;

/// What a directory may have besides its weights and its config.json.
const COMPANIONS: [&str; 11] = [
    "generation_config.json",
    "tokenizer.json",
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "tokenizer.bin",
    TEMPLATE,
];

/// Writes the model `from` as `to`: a GGUF file if it is so called, else a directory. What is there already is
/// never overwritten. What is written appears whole or not at all.
///
/// # Errors
/// As [`load`](crate::load); what the kind of file cannot hold; what is there already or cannot be written.
pub fn convert(from: &Path, to: &Path, dtype: Dtype) -> Result<()> {
    if to.exists() {
        return Err(ModelError::file(to, "is there already", "Remove it, or choose another name."));
    }
    if peft::is_adapter(from) {
        return Err(ModelError::file(
            from,
            "is an adapter",
            "Merge it into its model first: rlhf merge --model ADAPTER --out DIR.",
        ));
    }
    let source = Source::open(from)?;
    let (model, tensors) = source.tensors()?;
    let parent = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), fs::create_dir_all).at("create", to)?;
    let beside = beside(to);
    let written = match named_gguf(to) {
        true if model.head_kind() == HeadKind::Score => {
            Err(ModelError::file(from, "is a reward model, which GGUF has no form for", "Convert it to a directory."))
        }
        true => write_gguf(from, &source, &tensors, &beside, dtype),
        false if dtype == Dtype::Q8_0 => Err(ModelError::request(
            "safetensors cannot hold q8_0",
            "Choose f32, f16 or bf16, or a name that ends in .gguf.",
        )),
        false => write_directory(from, &source, &tensors, &beside, dtype),
    };
    match written {
        Ok(()) => rename(&beside, to),
        Err(error) => {
            let _ = if beside.is_dir() { fs::remove_dir_all(&beside) } else { fs::remove_file(&beside) };
            Err(error)
        }
    }
}

type Tensors = [(String, Vec<usize>)];

fn write_gguf(from: &Path, source: &Source, tensors: &Tensors, to: &Path, dtype: Dtype) -> Result<()> {
    let config = &source.config;
    let mut said = gguf::describe(config, dtype)?;
    let tokenizer = Tokenizer::of_model(from).map_err(unusable)?;
    let roles = match &tokenizer {
        Some(tokenizer) => {
            tokenizer.fits(config.vocab).map_err(|problem| ModelError::file(from, problem, "Give its own."))?;
            said.extend(tokenizer.to_gguf(config.vocab, from).map_err(unusable)?);
            tokenizer.roles()
        }
        None => {
            said.push(("tokenizer.ggml.model".into(), Value::Text("none".into())));
            vec![]
        }
    };
    let ends = ends(from, config, tokenizer.as_ref())?;
    let in_config = [("bos", config.bos), ("padding", config.pad)].into_iter().filter_map(|(key, id)| Some((key, id?)));
    let in_config = in_config.filter(|(key, _)| !roles.iter().any(|(role, _)| role == key));
    let roles = roles.iter().copied().chain(in_config).filter(|&(_, id)| (id as usize) < config.vocab);
    let id = |(key, id): (&str, u32)| (format!("tokenizer.ggml.{key}_token_id"), Value::Integer(id.into()));
    said.extend(gguf::ENDS.into_iter().zip(ends).chain(roles).map(id));
    if !config.generation.is_empty() {
        let text = serde_json::Value::Object(config.generation.clone()).to_string();
        said.push((gguf::GENERATION_KEY.into(), Value::Text(text)));
    }
    said.extend(chat_template(from)?.map(|template| (TEMPLATE_KEY.to_string(), Value::Text(template.text))));
    let name = from.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    said.push(("general.name".into(), Value::Text(name)));
    gguf::write(to, &source.json, &said, tensors, dtype, |name, out| source.read_into(name, out))
}

/// The tokens that end an answer, that which ends a text first.
fn ends(from: &Path, config: &Config, tokenizer: Option<&Tokenizer>) -> Result<Vec<u32>> {
    let mut ends: Vec<u32> = vec![];
    for id in tokenizer.map(Tokenizer::eos).into_iter().chain(config.eos_ids.iter().copied()) {
        if !ends.contains(&id) {
            ends.push(id);
        }
    }
    match ends.len() <= gguf::ENDS.len() {
        true => Ok(ends),
        false => Err(ModelError::file(
            from,
            format!("{} tokens end an answer ({ends:?}), and GGUF has keys for {}", ends.len(), gguf::ENDS.join(", ")),
            "Leave those in eos_token_id of generation_config.json that the model uses.",
        )),
    }
}

fn unusable(error: TokenizerError) -> ModelError {
    ModelError::request(error.to_string(), "Remove the tokenizer from the directory to convert the weights alone.")
}

fn write_directory(from: &Path, source: &Source, tensors: &Tensors, to: &Path, dtype: Dtype) -> Result<()> {
    fs::create_dir_all(to).at("create", to)?;
    match is_gguf(from) {
        true => write_companions(from, source, to)?,
        false => {
            for name in COMPANIONS.into_iter().filter(|name| from.join(name).exists()) {
                fs::copy(from.join(name), to.join(name)).at("copy", &from.join(name))?;
            }
            let (templates, there) = (from.join(TEMPLATES), to.join(TEMPLATES));
            if templates.is_dir() {
                fs::create_dir_all(&there).at("create", &there)?;
                for entry in fs::read_dir(&templates).at("list", &templates)? {
                    let file = entry.at("list", &templates)?;
                    fs::copy(file.path(), there.join(file.file_name())).at("copy", &file.path())?;
                }
            }
        }
    }
    let shape = |name: &str| tensors.iter().find(|(n, _)| n == name).map_or(0, |(_, shape)| shape.iter().product());
    safetensors::write_as(&to.join("model.safetensors"), dtype, tensors, |name| {
        let mut numbers = vec![0.0; shape(name)];
        source.read_into(name, &mut numbers)?;
        Ok(numbers.into())
    })?;
    let mut json = source.json.clone();
    let names = [("float32", Dtype::F32), ("float16", Dtype::F16), ("bfloat16", Dtype::Bf16)];
    let name = names.iter().find(|row| row.1 == dtype).expect("not q8_0").0;
    json.as_object_mut().expect("a config").remove("torch_dtype");
    json["dtype"] = json!(name);
    write_json(&to.join("config.json"), &json)?;
    sync_dir(to)
}

/// What a GGUF file says, in the files of a directory.
fn write_companions(from: &Path, source: &Source, to: &Path) -> Result<()> {
    let tokenizer = Tokenizer::of_model(from).map_err(unusable)?;
    if let Some(tokenizer) = &tokenizer {
        tokenizer.save(to).map_err(unusable)?;
    }
    let named = tokenizer.is_some_and(|tokenizer| tokenizer.has_named_templates());
    if let Some(template) = chat_template(from)?.filter(|_| !named) {
        let path = to.join(TEMPLATE);
        fs::write(&path, template.text).at("write", &path)?;
    }
    write_json(&to.join("generation_config.json"), &generation_config(&source.config))
}
