//! LoRA (Hu et al. 2021): y = x Wᵀ + b + (alpha/r)·(x Aᵀ) Bᵀ with W frozen, in bf16, and A and B learning.
//!
//! The network is that of the frozen model, its ids too; what learns are `Params` upon its [`Base`]. On disk an adapter
//! is what PEFT writes: `adapter_config.json` and `adapter_model.safetensors`, which names a module as the frozen
//! model's file does. Our queries, keys and values are one matrix and theirs may be three: an adapter is of some rows.
use crate::config::{Config, HeadKind};
use crate::error::{At, ModelError, Result};
use crate::files::{beside, remove_leftovers, rename, sync_dir, write_atomic};
use crate::gguf::is_gguf;
use crate::heads::Head;
use crate::hf::{self, BIAS, Loaded, write_json};
use crate::hub;
use crate::safetensors::Archive;
use crate::source::read_json;
use crate::transformer::{Names, Transformer};
use crate::windows::{Layout, Window, hf_windows};
use autograd::{Base, ParamId, Params, ParamsBuilder};
use kernels::{Device, Rng};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
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
    pub base: Arc<Base>,
}

/// Frozen models by their directories: who opens the same one twice shares it.
#[derive(Default)]
pub struct Bases(Vec<Foundation>);

impl Bases {
    pub fn open(&mut self, dir: &Path, device: &Device) -> Result<Foundation> {
        let dir = fs::canonicalize(dir).at("find", dir)?;
        if let Some(open) = self.0.iter().find(|f| f.dir == dir) {
            return Ok(open.clone());
        }
        let (model, base) = hf::load_base(&dir, device)?;
        self.0.push(Foundation { dir, model, base: Arc::new(base) });
        Ok(self.0[self.0.len() - 1].clone())
    }
}

/// The windows of the linear layers of the blocks.
fn linears(model: &Transformer) -> Vec<Window> {
    let weights = model.blocks.iter().flat_map(|b| [b.qkv, b.out, b.up, b.down].map(|linear| linear.weight));
    let weights: Vec<ParamId> = weights.collect();
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
    let linears = linears(&model).into_iter().filter(|w| modules.iter().any(|m| m == module(w)));
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
    let mut builder = ParamsBuilder::upon(&on.base);
    let mut windows = Vec::new();
    for window in linears(&on.model).iter().filter(|w| modules.iter().any(|m| m == module(w))) {
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
        merged.set(to, &params.merged(from).to_vec());
    }
    (whole, merged)
}

pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).exists()
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
    let weights = dir.join(WEIGHTS);
    let beside = beside(&weights);
    hf::write_windows(&beside, lora.windows.clone(), params)?;
    rename(&beside, &weights)?;
    write_json(&dir.join(CONFIG), &config(model, lora, params))?;
    sync_dir(dir)
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
        "base_model_name_or_path": hub::name_of(&lora.base).map_or(json!(lora.base), Value::from),
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

/// Read an adapter directory and the frozen model that it names.
pub(crate) fn load(dir: &Path, device: &Device, bases: &mut Bases) -> Result<Loaded> {
    let path = dir.join(CONFIG);
    let json = read_json(&path)?;
    let mend = "Merge it into its model with PEFT (merge_and_unload), and give the result.";
    let refuse = |problem: String| ModelError::file(&path, problem, mend);
    let settings = Settings::read(&json).map_err(refuse)?;
    let on = bases.open(&base_dir(dir, &path, &settings.base)?, device)?;
    let archive = Archive::open(&dir.join(WEIGHTS))?;
    let names = archive.names();
    let of = |name: &String| Some(name.strip_suffix(".lora_A.weight")?.strip_prefix(PREFIX)?.to_string());
    let modules: Vec<String> = names.iter().filter_map(of).collect();
    let scored = names.iter().any(|n| n.strip_prefix(PREFIX) == Some("score.weight"));
    let head = if scored || json["task_type"] == "SEQ_CLS" { HeadKind::Score } else { HeadKind::Lm };
    if on.model.head_kind() == HeadKind::Score && head == HeadKind::Lm {
        return Err(refuse(format!("an adapter of a language model, and {} has a score head", on.dir.display())));
    }
    let (model, mut params) = attach(&on, settings.rank, settings.alpha, &modules, head, Rng::new(0));
    let lora = model.lora.as_ref().expect("just attached");
    for window in &lora.windows {
        let wanted = window.hf_shape(params.shape(window.param));
        let name = &window.hf_name;
        if archive.shape(name) != Some(&wanted) {
            let have = archive.shape(name);
            let problem = format!("`{name}` has shape {have:?}, {wanted:?} is expected");
            return Err(ModelError::file(archive.path(), problem, "It is an adapter of another model."));
        }
        let mut numbers = archive.read(name)?;
        window.make_ours(&wanted, &mut numbers);
        params.set(window.param, &numbers);
    }
    if let Some(name) = names.iter().find(|name| !lora.windows.iter().any(|w| &w.hf_name == *name)) {
        let problem = format!("`{name}` is no adapter of a linear layer of the model");
        return Err(ModelError::file(archive.path(), problem, mend));
    }
    if let Some(bias) = model.score_bias() {
        params.set(bias, &[json.get(BIAS).and_then(Value::as_f64).unwrap_or(0.0) as f32]);
    }
    Ok(Loaded { transformer: model, params: params.to(device) })
}

/// The model that an adapter stands on.
pub fn base_of(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(CONFIG);
    let name = read_json(&path)?["base_model_name_or_path"].as_str().unwrap_or_default().to_string();
    base_dir(dir, &path, &name)
}

/// As it is called, or seen from the adapter, or of that name in Hugging Face's cache.
fn base_dir(dir: &Path, path: &Path, name: &str) -> Result<PathBuf> {
    let there = |d: &PathBuf| is_gguf(d) || d.join("config.json").exists();
    let found = [PathBuf::from(name), dir.join(name)].into_iter().find(there);
    found.or_else(|| hub::cached(name)).ok_or_else(|| {
        let problem =
            format!("its model `{name}` (base_model_name_or_path) is no model here, nor in Hugging Face's cache");
        ModelError::file(path, problem, "Download it, or write its path there.")
    })
}

struct Settings {
    base: String,
    rank: usize,
    alpha: f64,
}

/// Keys that change nothing of what an adapter computes once it is trained.
const HARMLESS: [&str; 14] = [
    "auto_mapping",
    "corda_config",
    "eva_config",
    "fan_in_fan_out",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",
    "task_type",
];

impl Settings {
    fn read(json: &Value) -> std::result::Result<Settings, String> {
        let keys: &Map<String, Value> = json.as_object().ok_or("not a JSON object")?;
        let unset = |v: &Value| match v {
            Value::Null | Value::Bool(false) => true,
            Value::Array(all) => all.is_empty(),
            Value::Object(all) => all.is_empty(),
            _ => false,
        };
        let gaussian = |v: &Value| v.is_boolean() || v == "gaussian" || v == "eva";
        for (key, value) in keys {
            let fine = match key.as_str() {
                "peft_type" => value == "LORA",
                "bias" => value == "none",
                "init_lora_weights" => gaussian(value), // others change the frozen matrices
                "modules_to_save" => unset(value) || *value == json!(["score"]),
                "base_model_name_or_path" | "r" | "lora_alpha" | BIAS => true,
                key => HARMLESS.contains(&key) || unset(value),
            };
            if !fine {
                return Err(format!("`{key}` is {value}, which is not supported"));
            }
        }
        let number = |key: &str| json[key].as_f64().filter(|x| *x > 0.0).ok_or(format!("`{key}`: expected a number"));
        let base = json["base_model_name_or_path"].as_str().ok_or("no `base_model_name_or_path`")?;
        Ok(Settings { base: base.into(), rank: number("r")? as usize, alpha: number("lora_alpha")? })
    }
}
