//! Hugging Face model directories, in and out; a GGUF file is read as if it were one.
//!
//! One table, [`hf_windows`], says which of their tensors is which part of which of our parameters.
//!
//! A reward model is saved as `…ForSequenceClassification` with `num_labels: 1` and `score.weight` [1, C].
//! That class has no bias, so the centring bias goes into config.json as [`BIAS`], a key that `transformers`
//! keeps and ignores. Its scores are ours less that number.
//!
//! Their class finds the last token of each row of a batch as the last that is not `pad_token_id`, and so do we
//! ([`Transformer::scored_at`]). A reward model from elsewhere whose pad is its end token was taught before its end,
//! and is read and saved so. Ours are taught at the end token: with that for a pad they would be read one token too
//! early. So who saves one of ours gives its config a pad that ends no answer, or none: `transformers` then asks for
//! one when given a batch, and scores single sequences as we do.
use crate::arch::tensors::{Window, hf_windows};
use crate::error::{At, ModelError, Result};
use crate::files::atomic::{beside, remove_leftovers, rename, was_interrupted, write_atomic, write_beside};
use crate::files::dtype::Dtype;
use crate::files::lora::{self, Bases};
use crate::files::safetensors;
use crate::files::source::{Source, read_json};
use crate::net::config::{Config, HeadKind};
use crate::net::transformer::Transformer;
use autograd::{BaseWeights, Params, ParamsBuilder};
use kernels::{Device, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Key of config.json with what is added to every score.
pub const BIAS: &str = "rlhf_reward_bias";

/// A model with its numbers.
#[derive(Clone)]
pub struct Loaded {
    pub transformer: Transformer,
    pub params: Params,
}

impl Loaded {
    pub fn config(&self) -> &Config {
        &self.transformer.config
    }

    pub fn head(&self) -> HeadKind {
        self.transformer.head_kind()
    }
}

/// Read a model: a GGUF file, or a directory with config.json, generation_config.json if there, and the weights
/// in one file or in shards with their index; or an adapter directory, and the model that it stands on. The numbers
/// go from the mapped files to their places one tensor at a time.
pub fn load(path: &Path, device: &Device) -> Result<Loaded> {
    load_sharing(path, device, &mut Bases::default())
}

/// As `load`; adapters of one frozen model share it.
pub fn load_sharing(path: &Path, device: &Device, bases: &mut Bases) -> Result<Loaded> {
    if lora::is_adapter(path) {
        return lora::load(path, device, bases);
    }
    let source = Source::open(path)?;
    let (model, builder) = source.lay_out()?;
    let mut params = builder.build(&Device::Cpu);
    source.weights.fill(&model, &mut params)?;
    if let Some(bias) = model.score_bias() {
        params.set(bias, &[source.score_bias(path)?]);
    }
    Ok(Loaded { transformer: model, params: params.to(device) })
}

/// A model that only answers: of a file in bf16, matrices stay so on the CPU, in half the bytes of f32, and products
/// are those of the same numbers in f32. Nothing of it can be trained.
pub fn load_to_answer(path: &Path, device: &Device) -> Result<Loaded> {
    match (lora::is_adapter(path), device) {
        (true, _) => lora::load(path, device, &mut Bases::exact()),
        (false, Device::Cpu) => {
            let (transformer, base) = load_base(path, device, true)?;
            Ok(Loaded { transformer, params: ParamsBuilder::on(&Arc::new(base)).build(device) })
        }
        (false, _) => load(path, device), // a GPU unpacks what it multiplies, at every product
    }
}

/// A model that does not learn, its matrices in bf16: rounded to it, or where `exact` only those that are so in the
/// file. No more of it than one matrix is ever held twice.
pub(crate) fn load_base(path: &Path, device: &Device, exact: bool) -> Result<(Transformer, BaseWeights)> {
    let source = Source::open(path)?;
    let (model, builder) = source.lay_out()?;
    let (shapes, mut base) = (builder.shapes(), builder.freeze());
    source.weights.each(
        &model,
        |id| shapes[&id].clone(),
        |id, numbers, halves| match exact && !halves {
            true => base.keep(id, &numbers.to(device)),
            false => base.set(id, &numbers.to(device)),
        },
    )?;
    if let Some(bias) = model.score_bias() {
        base.set(bias, &Tensor::new(&[1], vec![source.score_bias(path)?]).to(device));
    }
    kernels::release_pool(); // the f32 of every matrix
    Ok((model, base))
}

/// Write a model directory. Each file appears whole or not at all, config.json last: a directory without it
/// is not yet a model. A directory that holds a model of another kind or size is not overwritten.
///
/// `tokenizer` is the text of tokenizer.json. Of a model with adapters only these are written.
pub fn save(dir: &Path, model: &Transformer, params: &Params, tokenizer: Option<&str>) -> Result<()> {
    if let Some(lora) = &model.lora {
        return lora::save(dir, model, lora, params, tokenizer);
    }
    refuse_other_model(dir, model)?;
    fs::create_dir_all(dir).at("create", dir)?;
    remove_leftovers(dir)?;
    let config = &model.config;
    if let Some(text) = tokenizer {
        write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
    }
    write_json(&dir.join("generation_config.json"), &generation_config(config))?;

    let weights = dir.join("model.safetensors");
    let weights_beside = beside(&weights);
    let params = params.to(&Device::Cpu);
    write_weights(&weights_beside, model, &params)?;

    let mut json = config.to_hf(model.head_kind());
    if let Some(bias) = model.score_bias() {
        json[BIAS] = json!(params.get(bias).item());
    }
    // Ready before the weights are in place: what is left of it tells that a stopped save was ours.
    let config = dir.join("config.json");
    let config_beside = write_beside(&config, json_text(&json).as_bytes())?;
    rename(&weights_beside, &weights)?;
    rename(&config_beside, &config)
}

/// generation_config.json with the end tokens that the config has.
pub(crate) fn generation_config(config: &Config) -> Value {
    let mut said = config.generation.clone();
    said.entry("bos_token_id").or_insert(config.bos.into());
    said.insert("eos_token_id".into(), config.eos_to_hf());
    Value::Object(said)
}

fn write_weights(path: &Path, model: &Transformer, params: &Params) -> Result<()> {
    write_windows(path, hf_windows(model), params)
}

/// These windows of the parameters as theirs.
pub(crate) fn write_windows(path: &Path, windows: Vec<Window>, params: &Params) -> Result<()> {
    let windows: HashMap<String, Window> = windows.into_iter().map(|w| (w.hf_name.clone(), w)).collect();
    let shape = |(name, w): (&String, &Window)| (name.clone(), w.hf_shape(params.shape(w.param)));
    let shapes: Vec<_> = windows.iter().map(shape).collect();
    safetensors::write_as(path, Dtype::F32, &shapes, |name| {
        let window = &windows[name];
        Ok(window.to_hf(&params.get(window.param)).1.into())
    })
}

pub(crate) fn write_json(path: &Path, json: &Value) -> Result<()> {
    write_atomic(path, json_text(json).as_bytes())
}

fn json_text(json: &Value) -> String {
    format!("{json:#}\n")
}

fn refuse_other_model(dir: &Path, model: &Transformer) -> Result<()> {
    let remedy = "Choose another directory, or remove what is there.";
    if !dir.join("config.json").exists() {
        let weights = ["model.safetensors", "model.safetensors.index.json"].iter().any(|name| dir.join(name).exists());
        return match weights && !was_interrupted(dir, "config.json") {
            true => Err(ModelError::file(dir, "holds weights without a config.json", remedy)),
            false => Ok(()),
        };
    }
    let same = |json: Value| {
        let head = if json.get(BIAS).is_some() { HeadKind::Score } else { HeadKind::Lm };
        let there = Config::from_hf(&json).ok()?;
        let ours = &model.config;
        let (eos_ids, generation) = (ours.eos_ids.clone(), ours.generation.clone());
        let there = Config { bos: ours.bos, eos_ids, pad: ours.pad, generation, ..there };
        (there == *ours && head == model.head_kind()).then_some(())
    };
    match read_json(&dir.join("config.json")).ok().and_then(same) {
        Some(()) => Ok(()),
        None => Err(ModelError::file(dir, "holds another model, which would be overwritten", remedy)),
    }
}
