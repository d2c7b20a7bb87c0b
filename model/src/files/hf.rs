//! Hugging Face model directories, in and out; a GGUF file is read as if it were one.
//!
//! One table, [`tensor_maps`], says which of their tensors is which part of which of our parameters.
//!
//! A reward model is saved as `…ForSequenceClassification` with `num_labels: 1` and `score.weight` [1, C].
//! That class has no bias, so the centring bias goes into config.json as `rlhf_reward_bias`, a key that `transformers`
//! keeps and ignores. Its scores are ours less that number.
//!
//! Their class finds the last token of each row of a batch as the last that is not `pad_token_id`, and so do we
//! ([`Transformer::scored_at`]). A reward model from elsewhere whose pad is its end token was taught before its end,
//! and is read and saved so. Ours are taught at the end token: with that for a pad they would be read one token too
//! early. So who saves one of ours gives its config a pad that ends no answer, or none: `transformers` then asks for
//! one when given a batch, and scores single sequences as we do.
use super::atomic::{
    beside, json_text, remove_leftovers, rename, was_interrupted, write_atomic, write_beside, write_json,
};
use super::base::{BaseModels, load_base};
use super::peft;
use super::source::{Source, generation_config, read_json};
use super::weights::write_tensors;
use crate::arch::keys::SCORE_BIAS;
use crate::arch::tensors::tensor_maps;
use crate::error::{At, ModelError, Result};
use crate::net::config::{Config, HeadKind};
use crate::net::model::Model;
use crate::net::transformer::Transformer;
use autograd::ParamsBuilder;
use kernels::Device;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Reads a model: a GGUF file, or a directory with config.json, generation_config.json if there, and the weights
/// in one file or in shards with their index; or an adapter directory, and the model that it stands on. The numbers
/// go from the mapped files to their places one tensor at a time.
///
/// # Errors
/// A file that is not there, is damaged, or describes what this crate does not compute: which, and what to do.
pub fn load(path: &Path, device: &Device) -> Result<Model> {
    load_sharing(path, device, &mut BaseModels::default())
}

/// As [`load`]; adapters of one frozen model share it.
///
/// # Errors
/// As [`load`].
pub fn load_sharing(path: &Path, device: &Device, bases: &mut BaseModels) -> Result<Model> {
    if peft::is_adapter(path) {
        return peft::load(path, device, bases);
    }
    let source = Source::open(path)?;
    let (net, builder) = source.declare()?;
    let mut params = builder.build(&Device::Cpu);
    source.weights.fill(&net, &mut params)?;
    if let Some(bias) = net.score_bias() {
        params.set(bias, &[source.score_bias(path)?]);
    }
    Ok(Model { net, params: params.to(device) })
}

/// Reads a model that only answers: of a file in bf16, matrices stay so on the CPU, in half the bytes of f32, and
/// products are those of the same numbers in f32. Nothing of it can be trained.
///
/// # Errors
/// As [`load`].
pub fn load_to_answer(path: &Path, device: &Device) -> Result<Model> {
    match (peft::is_adapter(path), device) {
        (true, _) => peft::load(path, device, &mut BaseModels::exact()),
        (false, Device::Cpu) => {
            let (net, base) = load_base(path, device, true)?;
            Ok(Model { net, params: ParamsBuilder::on(&Arc::new(base)).build(device) })
        }
        (false, _) => load(path, device), // a GPU unpacks what it multiplies, at every product
    }
}

/// Writes a model directory. Each file appears whole or not at all, config.json last: a directory without it
/// is not yet a model. A directory that holds a model of another kind or size is not overwritten.
///
/// `tokenizer` is the text of tokenizer.json. Of a model with adapters only these are written.
///
/// # Errors
/// What cannot be written, what would be overwritten, and numbers that are not finite.
pub fn save(dir: &Path, model: &Model, tokenizer: Option<&str>) -> Result<()> {
    let Model { net, params } = model;
    if let Some(lora) = &net.lora {
        return peft::save(dir, model, lora, tokenizer);
    }
    refuse_other_model(dir, net)?;
    fs::create_dir_all(dir).at("create", dir)?;
    remove_leftovers(dir)?;
    if let Some(text) = tokenizer {
        write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
    }
    write_json(&dir.join("generation_config.json"), &generation_config(&net.config))?;

    let weights = dir.join("model.safetensors");
    let weights_beside = beside(&weights);
    let params = params.to(&Device::Cpu);
    write_tensors(&weights_beside, tensor_maps(net), &params)?;

    let mut json = net.config.to_hf(net.head_kind());
    if let Some(bias) = net.score_bias() {
        json[SCORE_BIAS] = json!(params.get(bias).item());
    }
    // Ready before the weights are in place: what is left of it tells that a stopped save was ours.
    let config = dir.join("config.json");
    let config_beside = write_beside(&config, json_text(&json).as_bytes())?;
    rename(&weights_beside, &weights)?;
    rename(&config_beside, &config)
}

fn refuse_other_model(dir: &Path, net: &Transformer) -> Result<()> {
    let remedy = "Choose another directory, or remove what is there.";
    if !dir.join("config.json").exists() {
        let weights = ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| dir.join(name).exists());
        return match weights && !was_interrupted(dir, "config.json") {
            true => Err(ModelError::file(dir, "holds weights without a config.json", remedy)),
            false => Ok(()),
        };
    }
    let same = |json: Value| {
        let head = if json.get(SCORE_BIAS).is_some() { HeadKind::Score } else { HeadKind::Lm };
        let there = Config::from_hf(&json).ok()?;
        let ours = &net.config;
        let (eos_ids, generation) = (ours.eos_ids.clone(), ours.generation.clone());
        let there = Config { bos: ours.bos, eos_ids, pad: ours.pad, generation, ..there };
        (there == *ours && head == net.head_kind()).then_some(())
    };
    match read_json(&dir.join("config.json")).ok().and_then(same) {
        Some(()) => Ok(()),
        None => Err(ModelError::file(dir, "holds another model, which would be overwritten", remedy)),
    }
}
