//! Adapters on the disk, as PEFT writes them: `adapter_config.json` and `adapter_model.safetensors`, which names a
//! module as the frozen model's file does. Our queries, keys and values are one matrix and theirs may be three: an
//! adapter is of some rows. What adapters compute stands in [`crate::net::adapter`].
mod read;

pub(crate) use read::{Said, describe, load};
pub use read::{base_of, is_adapter};

use super::atomic::{beside, remove_leftovers, rename, sync_dir, write_atomic, write_json};
use super::base::BaseModel;
use super::hub;
use super::source::generation_config;
use super::weights::write_tensors;
use crate::arch::keys::SCORE_BIAS;
use crate::arch::tensors::{Layout, TensorMap, tensor_maps};
use crate::error::{At, ModelError, Result};
use crate::net::adapter;
use crate::net::config::{Config, HeadKind, Lora, Target};
use crate::net::layers::Head;
use crate::net::model::Model;
use crate::net::transformer::Transformer;
use autograd::{ParamId, Params};
use kernels::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of its modules.
const PREFIX: &str = "base_model.model.";

/// The matrices of the linear layers of the blocks.
fn linears(net: &Transformer) -> Vec<TensorMap> {
    let weights = net.blocks.iter().flat_map(|b| [b.qkv, b.out, b.up, b.down].map(|linear| linear.weight));
    let weights: HashSet<ParamId> = weights.collect();
    tensor_maps(net).into_iter().filter(|map| weights.contains(&map.param)).collect()
}

fn module(map: &TensorMap) -> &str {
    map.name.trim_end_matches(".weight")
}

fn last(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Target modules: those that `targets` names, `all-linear` or some last names such as `q_proj,v_proj`.
///
/// # Errors
/// A name that no linear layer of the model has, and which it has.
pub fn modules(net: &Transformer, targets: &str) -> Result<Vec<String>> {
    let linears = linears(net);
    let all: Vec<String> = linears.iter().map(|map| module(map).to_string()).collect();
    if targets == "all-linear" {
        return Ok(all);
    }
    let wanted: Vec<&str> = targets.split(',').map(str::trim).collect();
    if let Some(unknown) = wanted.iter().find(|t| !all.iter().any(|m| last(m) == **t)) {
        let there: BTreeSet<&str> = all.iter().map(|m| last(m)).collect();
        let there = there.into_iter().collect::<Vec<_>>().join(", ");
        let remedy = format!("There are {there}; or all-linear.");
        return Err(ModelError::request(format!("the model has no linear layer `{unknown}`"), remedy));
    }
    Ok(all.into_iter().filter(|m| wanted.contains(&last(m))).collect())
}

/// Number of parameters of such adapters of a model.
///
/// # Errors
/// As [`modules`].
pub fn count(config: &Config, rank: usize, targets: &str) -> Result<usize> {
    let (net, builder) = Transformer::declare(config, HeadKind::Lm, None);
    let (shapes, modules) = (builder.shapes(), modules(&net, targets)?);
    let modules: HashSet<&str> = modules.iter().map(String::as_str).collect();
    let linears = linears(&net).into_iter().filter(|map| modules.contains(module(map)));
    Ok(linears.map(|map| rank * (map.rows.len() + shapes[&map.param][1])).sum())
}

/// Fresh adapters on a frozen model, on the CPU. They change nothing before they learn; where `head` is a score, a head
/// learns too, starting from the frozen model's if it has one.
pub fn attach(on: &BaseModel, rank: usize, alpha: f64, modules: &[String], head: HeadKind, rng: Rng) -> Model {
    let wanted: HashSet<&str> = modules.iter().map(String::as_str).collect();
    let linears = linears(&on.net).into_iter().filter(|map| wanted.contains(module(map)));
    let target = |map: TensorMap| Target { name: module(&map).to_string(), weight: map.param, rows: map.rows };
    let lora = Lora { base: name_of(on), rank, alpha, targets: linears.map(target).collect() };
    adapter::attach(&on.net, &on.base, lora, head, rng)
}

/// What an adapter calls its model: a name on the hub, or a path.
fn name_of(on: &BaseModel) -> String {
    hub::name_of(&on.dir).unwrap_or_else(|| on.dir.to_string_lossy().into())
}

/// Can an adapter name that model? JSON has no words for a path that is not UTF-8.
///
/// # Errors
/// It cannot.
pub fn check_name(on: &BaseModel) -> Result<()> {
    match hub::name_of(&on.dir).is_some() || on.dir.to_str().is_some() {
        true => Ok(()),
        false => {
            let problem =
                format!("{}: its path is not UTF-8, and an adapter on it could not name it", on.dir.display());
            Err(ModelError::request(problem, "Rename the folder, or train without --lora-rank."))
        }
    }
}

/// The tensors of an adapter's file, by PEFT's names.
fn adapter_maps(net: &Transformer, lora: &Lora, params: &Params) -> Vec<TensorMap> {
    let (linears, mut maps) = (linears(net), Vec::new());
    for target in &lora.targets {
        let linear = linears.iter().find(|map| module(map) == target.name).expect("a linear layer of this model");
        let outputs = if linear.layout == Layout::Transposed { Layout::Same } else { linear.layout };
        let parts = [("lora_A", lora.rank, Layout::Same), ("lora_B", target.rows.len(), outputs)];
        maps.extend(parts.map(|(part, rows, layout)| {
            let param = params.by_name(&format!("{}.{part}", target.name)).expect("attached");
            TensorMap { name: format!("{PREFIX}{}.{part}.weight", target.name), param, rows: 0..rows, layout }
        }));
    }
    if let (Some(param), Head::Score(_)) = (params.by_name("score.weight"), net.head) {
        maps.push(TensorMap { name: format!("{PREFIX}score.weight"), param, rows: 0..1, layout: Layout::Same });
    }
    maps
}

/// Write an adapter directory as PEFT does, its config last.
pub(crate) fn save(dir: &Path, model: &Model, lora: &Lora, tokenizer: Option<&str>) -> Result<()> {
    if dir.join("config.json").exists() {
        let problem = "holds a whole model, beside which an adapter would not be found";
        return Err(ModelError::file(dir, problem, "Choose another directory, or remove what is there."));
    }
    fs::create_dir_all(dir).at("create", dir)?;
    remove_leftovers(dir)?;
    if let Some(text) = tokenizer {
        write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
    }
    // PEFT takes it from the frozen model; who reads it here stops where this one was trained to
    write_json(&dir.join("generation_config.json"), &generation_config(&model.net.config))?;
    let weights = dir.join(WEIGHTS);
    let beside = beside(&weights);
    write_tensors(&beside, adapter_maps(&model.net, lora, &model.params), &model.params)?;
    rename(&beside, &weights)?;
    write_json(&dir.join(CONFIG), &config(model, lora))?;
    sync_dir(dir)
}

fn config(model: &Model, lora: &Lora) -> Value {
    let linears = linears(&model.net);
    let names: BTreeSet<&str> = lora.targets.iter().map(|target| last(&target.name)).collect();
    let by_name = linears.iter().filter(|map| names.contains(last(module(map)))).count();
    // Some layers only: by their whole names, or PEFT would give the others an adapter too.
    let targets: BTreeSet<&str> = match by_name == lora.targets.len() {
        true => names,
        false => lora.targets.iter().map(|target| target.name.as_str()).collect(),
    };
    let conv = linears.iter().any(|map| map.layout == Layout::Transposed);
    let mut json = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": lora.base,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": conv,
        "inference_mode": true,
        "init_lora_weights": true,
        "modules_to_save": null,
    });
    if let Some(bias) = model.net.score_bias() {
        json["task_type"] = json!("SEQ_CLS");
        json["modules_to_save"] = json!(["score"]);
        json[SCORE_BIAS] = json!(model.params.get(bias).item());
    }
    json
}
