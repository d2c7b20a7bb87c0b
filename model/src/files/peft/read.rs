//! Adapters read: all of the config and of the table of tensors is looked at before the model that they stand on is.
use super::{CONFIG, PREFIX, WEIGHTS, adapter_maps, attach, linears, module};
use crate::arch::keys::SCORE_BIAS;
use crate::arch::tensors::Layout;
use crate::error::{ModelError, Result};
use crate::files::base::BaseModels;
use crate::files::dtype::not_finite;
use crate::files::gguf::is_gguf;
use crate::files::hub;
use crate::files::safetensors::Archive;
use crate::files::source::{Source, add_generation, read_json};
use crate::net::config::HeadKind;
use crate::net::model::Model;
use crate::net::transformer::Transformer;
use autograd::ParamId;
use kernels::{Device, Rng};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const MERGE: &str = "Merge it into its model with PEFT (merge_and_unload), and give the result.";
/// The score head of an adapter of a reward model.
const SCORE: &str = "base_model.model.score.weight";

/// Is it the directory of an adapter?
pub fn is_adapter(dir: &Path) -> bool {
    dir.join(CONFIG).exists()
}

/// An adapter's config and table of tensors.
struct Files {
    path: PathBuf,
    json: Value,
    settings: Settings,
    archive: Archive,
    /// PEFT's usual name of a tensor → how it is called in this file.
    names: BTreeMap<String, String>,
}

impl Files {
    fn open(dir: &Path) -> Result<Files> {
        let path = dir.join(CONFIG);
        let json = read_json(&path)?;
        let settings = Settings::read(&json).map_err(|problem| ModelError::file(&path, problem, MERGE))?;
        if !dir.join(WEIGHTS).exists() && dir.join("adapter_model.bin").exists() {
            let remedy = "Convert adapter_model.bin to safetensors first (load the adapter with PEFT and save it again); \
                          pickled files run code when opened and are never read.";
            return Err(ModelError::file(dir, format!("no {WEIGHTS}"), remedy));
        }
        let archive = Archive::open(&dir.join(WEIGHTS))?;
        let mut names = BTreeMap::new();
        for spelt in archive.names() {
            if let Some(other) = names.insert(usual(&spelt), spelt.clone()) {
                let problem = format!("`{spelt}` and `{other}` are the same part of a model");
                return Err(ModelError::file(archive.path(), problem, "Remove one of them."));
            }
        }
        names.remove("base_model.model.score.original_module.weight"); // what was before it was trained
        Ok(Files { path, json, settings, archive, names })
    }

    /// The modules that have an adapter.
    fn modules(&self) -> Vec<String> {
        let of = |name: &String| Some(name.strip_suffix(".lora_A.weight")?.strip_prefix(PREFIX)?.to_string());
        self.names.keys().filter_map(of).collect()
    }

    fn head(&self) -> HeadKind {
        match self.names.contains_key(SCORE) || self.json["task_type"] == "SEQ_CLS" {
            true => HeadKind::Score,
            false => HeadKind::Lm,
        }
    }

    /// Do the tensors fit that model, and are they all? Returns how many numbers there are, with the bias of a score.
    fn check(&self, net: &Transformer, on: &Path, shape: impl Fn(ParamId) -> Vec<usize>) -> Result<usize> {
        let (rank, head, mut wanted) = (self.settings.rank, self.head(), BTreeMap::new());
        if net.head_kind() == HeadKind::Score && head == HeadKind::Lm {
            let problem = format!("an adapter of a language model, and {} has a score head", on.display());
            return Err(ModelError::file(&self.path, problem, MERGE));
        }
        let modules: BTreeSet<String> = self.modules().into_iter().collect();
        for map in linears(net).iter().filter(|map| modules.contains(module(map))) {
            let name = |part: &str| format!("{PREFIX}{}.{part}.weight", module(map));
            wanted.insert(name("lora_A"), vec![rank, shape(map.param)[1]]);
            wanted.insert(name("lora_B"), vec![map.rows.len(), rank]);
        }
        if head == HeadKind::Score {
            wanted.insert(SCORE.into(), vec![1, net.config.channels]);
        }
        for (name, wanted) in &wanted {
            let have = self.names.get(name).and_then(|spelt| self.archive.shape(spelt));
            if have != Some(wanted) {
                let have = have.map_or("is not there".into(), |have| format!("has shape {have:?}"));
                let problem = format!("`{name}` {have}, {wanted:?} is expected (r is {rank})");
                return Err(ModelError::file(self.archive.path(), problem, "It is an adapter of another model."));
            }
        }
        match self.names.iter().find(|(name, _)| !wanted.contains_key(*name)) {
            None => Ok(wanted.values().map(|shape| shape.iter().product::<usize>()).sum::<usize>()
                + usize::from(head == HeadKind::Score)),
            Some((_, spelt)) => {
                let problem = format!("`{spelt}` is no adapter of a linear layer of the model");
                Err(ModelError::file(self.archive.path(), problem, MERGE))
            }
        }
    }

    /// The numbers of a tensor by its usual name.
    fn read(&self, name: &str) -> Result<Vec<f32>> {
        let spelt = &self.names[name];
        let numbers = self.archive.read(spelt)?;
        match not_finite(&numbers) {
            None => Ok(numbers),
            Some((at, number)) => {
                let problem = format!("`{spelt}` is not finite: number {at} of it is {number}");
                let remedy = "The file is damaged, or training diverged; take an earlier one.";
                Err(ModelError::file(self.archive.path(), problem, remedy))
            }
        }
    }

    fn base(&self) -> Result<PathBuf> {
        base_of(self.path.parent().expect("a file is in a directory"))
    }
}

/// As PEFT's `save_pretrained` calls a tensor; others keep the name of the adapter in it, or have no prefix.
fn usual(spelt: &str) -> String {
    let name = spelt.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".");
    let name = name.replace(".lora_A.default.", ".lora_A.").replace(".lora_B.default.", ".lora_B.");
    if name.starts_with(PREFIX) { name } else { format!("{PREFIX}{name}") }
}

/// Read an adapter directory and the frozen model that it names.
pub(crate) fn load(dir: &Path, device: &Device, bases: &mut BaseModels) -> Result<Model> {
    let files = Files::open(dir)?;
    let base = files.base()?;
    let source = Source::open(&base)?;
    let (net, builder) = source.declare()?;
    files.check(&net, &base, |id| builder.shape(id).to_vec())?;
    let on = bases.open(&base, device)?;
    let Settings { rank, alpha, .. } = files.settings;
    let Model { mut net, mut params } = attach(&on, rank, alpha, &files.modules(), files.head(), Rng::new(0));
    for map in adapter_maps(&net, net.lora.as_ref().expect("just attached"), &params) {
        let mut numbers = files.read(&map.name)?;
        if map.layout != Layout::Same {
            map.make_ours(&map.hf_shape(params.shape(map.param)), &mut numbers);
        }
        params.set(map.param, &numbers);
    }
    if let Some(bias) = net.score_bias() {
        params.set(bias, &[files.json.get(SCORE_BIAS).and_then(Value::as_f64).unwrap_or(0.0) as f32]);
    }
    add_generation(dir, &mut net.config)?;
    if files.json.get(SCORE_BIAS).is_some() && on.net.head_kind() == HeadKind::Lm {
        // one of ours, taught at the end token whatever the language model pads with
        net.config.pad = net.config.pad.filter(|pad| !net.config.eos_ids.contains(pad));
    }
    Ok(Model { net, params: params.to(device) })
}

/// What can be said of an adapter without its numbers.
pub(crate) struct Said {
    pub head: HeadKind,
    /// How many numbers learn.
    pub learning: usize,
    pub rank: usize,
    pub base: PathBuf,
}

pub(crate) fn describe(dir: &Path) -> Result<Said> {
    let files = Files::open(dir)?;
    let base = files.base()?;
    let (net, builder) = Source::open(&base)?.declare()?;
    let learning = files.check(&net, &base, |id| builder.shape(id).to_vec())?;
    Ok(Said { head: files.head(), learning, rank: files.settings.rank, base })
}

/// Base model of an adapter: where that which it stands on lies.
///
/// # Errors
/// It is neither here nor in the cache, or an adapter itself.
pub fn base_of(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(CONFIG);
    let json = read_json(&path)?;
    let name = json["base_model_name_or_path"].as_str().unwrap_or_default();
    let revision = json["revision"].as_str().filter(|revision| *revision != "main");
    let there = |d: &PathBuf| is_gguf(d) || d.join("config.json").exists() || is_adapter(d);
    // As it is called, seen from here, from the adapter, or from beside it; or of that name in the cache.
    let beside = dir.canonicalize().ok().and_then(|dir| Some(dir.parent()?.join(name)));
    let places = [Some(hub::at_home(name)), Some(dir.join(name)), beside].into_iter().flatten();
    let found = places.filter(|_| !name.is_empty()).find(there).or_else(|| hub::cached_at(name, revision));
    match found {
        Some(found) if is_adapter(&found) => {
            let problem = format!("its model `{name}` (base_model_name_or_path) is an adapter itself");
            Err(ModelError::file(
                &path,
                problem,
                "Merge that one first (rlhf merge), and write the result's path there.",
            ))
        }
        Some(found) => Ok(found),
        None => {
            let of = revision.map_or(String::new(), |revision| format!(", revision {revision},"));
            let problem = format!(
                "its model `{name}`{of} (base_model_name_or_path) is no model here, nor in Hugging Face's cache"
            );
            Err(ModelError::file(&path, problem, "Download it, or write its path there."))
        }
    }
}

struct Settings {
    rank: usize,
    alpha: f64,
}

/// Keys that change nothing of what an adapter computes once it is trained: where adapters were put says the file.
const HARMLESS: [&str; 18] = [
    "auto_mapping",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];

/// How adapters began, where that left the frozen matrices as they are; others change them.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Heads that PEFT lists for a reward model. Which of them there is, the file says.
const HEADS: [&str; 2] = ["classifier", "score"];

impl Settings {
    fn read(json: &Value) -> std::result::Result<Settings, String> {
        let keys: &Map<String, Value> = json.as_object().ok_or("not a JSON object")?;
        for (key, value) in keys {
            let fine = match key.as_str() {
                "peft_type" => value == "LORA",
                "bias" => value == "none",
                "init_lora_weights" => {
                    unset(value) || value.is_boolean() || BEGINNINGS.iter().any(|known| value == known)
                }
                "modules_to_save" => {
                    unset(value)
                        || value.as_array().is_some_and(|all| all.iter().all(|one| HEADS.iter().any(|h| one == h)))
                }
                "base_model_name_or_path" | "r" | "lora_alpha" | SCORE_BIAS => true,
                key => HARMLESS.contains(&key) || unset(value),
            };
            if !fine {
                return Err(format!("`{key}` is {value}, which is not supported"));
            }
        }
        let number = |key: &str| {
            let number = json[key].as_f64().filter(|x| x.is_finite() && *x > 0.0);
            number.ok_or(format!("`{key}`: expected a number above 0, got {}", json[key]))
        };
        let rank = number("r")?;
        if rank.fract() != 0.0 || rank > f64::from(u32::MAX) {
            return Err(format!("`r`: expected a whole number, got {}", json["r"]));
        }
        match json["base_model_name_or_path"].as_str() {
            Some(_) => Ok(Settings { rank: rank as usize, alpha: number("lora_alpha")? }),
            None => Err("no `base_model_name_or_path`".into()),
        }
    }
}

/// Says a value "no" or "nothing"?
fn unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(unset),
        other => *other == json!(""),
    }
}
