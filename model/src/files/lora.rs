//! LoRA (Hu et al. 2021): y = x Wᵀ + b + (alpha/r)·(x Aᵀ) Bᵀ with W frozen, in bf16, and A and B learning.
//!
//! The network is that of the frozen model, its ids too; what learns are `Params` on its [`BaseWeights`]. On disk an adapter
//! is what PEFT writes: `adapter_config.json` and `adapter_model.safetensors`, which names a module as the frozen
//! model's file does. Our queries, keys and values are one matrix and theirs may be three: an adapter is of some rows.
mod files;

pub(crate) use files::{Said, describe, load};
pub use files::{base_of, is_adapter};

use crate::arch::tensors::{Layout, Window, hf_windows};
use crate::error::{At, ModelError, Result};
use crate::files::atomic::{beside, remove_leftovers, rename, sync_dir, write_atomic};
use crate::files::hf::{self, BIAS, write_json};
use crate::files::hub;
use crate::net::config::{Config, HeadKind};
use crate::net::heads::Head;
use crate::net::transformer::{Names, Transformer};
use autograd::{BaseWeights, ParamId, Params, ParamsBuilder};
use kernels::{Device, Rng};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the names of its modules.
const PREFIX: &str = "base_model.model.";

/// What makes a [`Transformer`] one with adapters.
#[derive(Clone, Debug)]
pub struct Lora {
    /// The directory of the frozen model.
    pub base: PathBuf,
    pub rank: usize,
    pub alpha: f64,
    /// Modules that have an adapter, by their names in the frozen model's file.
    pub modules: Vec<String>,
    /// What is saved.
    windows: Vec<Window>,
}

/// A frozen model that adapters stand on.
#[derive(Clone)]
pub struct Foundation {
    pub dir: PathBuf,
    pub model: Transformer,
    pub base: Arc<BaseWeights>,
}

/// Frozen models by their directories: who opens the same one twice shares it.
#[derive(Default)]
pub struct Bases {
    open: Vec<Foundation>,
    exact: bool,
}

impl Bases {
    /// To answer or to be merged with: matrices in bf16 only where the file has them so, else in f32.
    pub fn exact() -> Bases {
        Bases { open: Vec::new(), exact: true }
    }

    pub fn open(&mut self, dir: &Path, device: &Device) -> Result<Foundation> {
        let dir = fs::canonicalize(dir).at("find", dir)?;
        if let Some(open) = self.open.iter().find(|f| f.dir == dir) {
            return Ok(open.clone());
        }
        let (model, base) = hf::load_base(&dir, device, self.exact)?;
        self.open.push(Foundation { dir, model, base: Arc::new(base) });
        Ok(self.open[self.open.len() - 1].clone())
    }
}

/// The windows of the linear layers of the blocks.
fn linears(model: &Transformer) -> Vec<Window> {
    let weights = model.blocks.iter().flat_map(|b| [b.qkv, b.out, b.up, b.down].map(|linear| linear.weight));
    let weights: HashSet<ParamId> = weights.collect();
    hf_windows(model).into_iter().filter(|w| weights.contains(&w.param)).collect()
}

fn module(window: &Window) -> &str {
    window.hf_name.trim_end_matches(".weight")
}

fn last(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// The modules that `targets` names: `all-linear`, or some last names such as `q_proj,v_proj`.
pub fn modules(model: &Transformer, targets: &str) -> Result<Vec<String>> {
    let windows = linears(model);
    let all: Vec<String> = windows.iter().map(|w| module(w).to_string()).collect();
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

/// How many numbers such adapters of a model have.
pub fn count(config: &Config, rank: usize, targets: &str) -> Result<usize> {
    let (model, builder) = Transformer::lay_out(config, HeadKind::Lm, None);
    let (shapes, modules) = (builder.shapes(), modules(&model, targets)?);
    let modules: HashSet<&str> = modules.iter().map(String::as_str).collect();
    let linears = linears(&model).into_iter().filter(|w| modules.contains(module(w)));
    Ok(linears.map(|w| rank * (w.rows.len() + shapes[&w.param][1])).sum())
}

/// Fresh adapters upon a frozen model, which change nothing before they learn, and where `head` is a score a head
/// that learns too, starting from the frozen model's if it has one.
pub fn attach(
    on: &Foundation,
    rank: usize,
    alpha: f64,
    modules: &[String],
    head: HeadKind,
    rng: Rng,
) -> (Transformer, Params) {
    let mut builder = ParamsBuilder::on(&on.base);
    let (mut windows, wanted) = (Vec::new(), modules.iter().map(String::as_str).collect::<HashSet<_>>());
    for window in linears(&on.model).iter().filter(|w| wanted.contains(module(w))) {
        let (name, rows) = (module(window), window.rows.clone());
        let scale = (alpha / rank as f64) as f32;
        let adapter = builder.adapter(name, window.param, rows.clone(), rank, scale, rng);
        let outputs = if window.layout == Layout::Transposed { Layout::Same } else { window.layout };
        let parts = [("lora_A", adapter.a, rank, Layout::Same), ("lora_B", adapter.b, rows.len(), outputs)];
        windows.extend(parts.map(|(part, param, rows, layout)| {
            let hf_name = format!("{PREFIX}{name}.{part}.weight");
            Window { hf_name, param, rows: 0..rows, layout }
        }));
    }
    let mut model = on.model.clone();
    if head == HeadKind::Score {
        let mut names = Names { builder, rng: Some(rng) };
        model.head = names.head(&model.config, head);
        builder = names.builder;
    }
    let mut params = builder.build(&Device::Cpu);
    if let (HeadKind::Score, Head::Score(score)) = (head, model.head) {
        let hf_name = format!("{PREFIX}score.weight");
        windows.push(Window { hf_name, param: score.weight, rows: 0..1, layout: Layout::Same });
        if let (None, Head::Score(theirs)) = (&on.model.lora, on.model.head) {
            params.set(score.weight, &on.base.get(theirs.weight).to_vec());
            let biases = score.bias.zip(theirs.bias).expect("a score head has a bias");
            params.set(biases.0, &on.base.get(biases.1).to_vec());
        }
    }
    model.lora = Some(Lora { base: on.dir.clone(), rank, alpha, modules: modules.to_vec(), windows });
    (model, params)
}

/// The same adapters under a score head, a fresh one where there was none.
pub(crate) fn as_score(model: &Transformer, lora: &Lora, params: &Params, rng: Rng) -> (Transformer, Params) {
    let on = Foundation { dir: lora.base.clone(), model: model.clone(), base: params.base().clone() };
    let (scored, mut to) = attach(&on, lora.rank, lora.alpha, &lora.modules, HeadKind::Score, rng);
    for (id, name, _) in params.iter() {
        let same = to.by_name(name).expect("the same adapters");
        to.set(same, &params.get(id).to_vec());
    }
    (scored, to.multiply_in(params.precision()).to(&params.device()))
}

/// One model without adapters that computes the same: W + (alpha/r)·B·A everywhere, in f32, on the CPU.
pub fn merge(model: &Transformer, params: &Params) -> (Transformer, Params) {
    let (whole, builder) = Transformer::lay_out(&model.config, model.head_kind(), None);
    let mut merged = builder.build(&Device::Cpu);
    let pairs = hf_windows(model).into_iter().zip(hf_windows(&whole)).map(|(from, to)| (from.param, to.param));
    let mut pairs: Vec<_> = pairs.chain(model.score_bias().zip(whole.score_bias())).collect();
    pairs.dedup();
    for (from, to) in pairs {
        merged.set(to, params.merged(from).data());
    }
    (whole, merged)
}

/// Can an adapter name that model? JSON has no words for a path that is not UTF-8.
pub fn check_name(on: &Foundation) -> Result<()> {
    match hub::name_of(&on.dir).is_some() || on.dir.to_str().is_some() {
        true => Ok(()),
        false => {
            let problem =
                format!("{}: its path is not UTF-8, and an adapter upon it could not name it", on.dir.display());
            Err(ModelError::request(problem, "Rename the folder, or train without --lora-rank."))
        }
    }
}

/// Write an adapter directory as PEFT does, its config last.
pub(crate) fn save(
    dir: &Path,
    model: &Transformer,
    lora: &Lora,
    params: &Params,
    tokenizer: Option<&str>,
) -> Result<()> {
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
    write_json(&dir.join("generation_config.json"), &hf::generation_config(&model.config))?;
    let weights = dir.join(WEIGHTS);
    let beside = beside(&weights);
    hf::write_windows(&beside, lora.windows.clone(), params)?;
    rename(&beside, &weights)?;
    write_json(&dir.join(CONFIG), &config(model, lora, params))?;
    sync_dir(dir)
}

/// What an adapter calls its model: a name on the hub, or a path.
pub fn base_name(lora: &Lora) -> String {
    hub::name_of(&lora.base).unwrap_or_else(|| lora.base.to_string_lossy().into())
}

fn config(model: &Transformer, lora: &Lora, params: &Params) -> Value {
    let names: BTreeSet<&str> = lora.modules.iter().map(|m| last(m)).collect();
    let by_name = linears(model).iter().filter(|w| names.contains(last(module(w)))).count();
    // Some layers only: by their whole names, or PEFT would give the others an adapter too.
    let complete = by_name == lora.modules.len();
    let targets: Vec<&str> = match complete {
        true => names.into_iter().collect(),
        false => lora.modules.iter().map(String::as_str).collect(),
    };
    let conv = linears(model).iter().any(|w| w.layout == Layout::Transposed);
    let mut json = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name(lora),
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
    if let Some(bias) = model.score_bias() {
        json["task_type"] = json!("SEQ_CLS");
        json["modules_to_save"] = json!(["score"]);
        json[BIAS] = json!(params.get(bias).item());
    }
    json
}
