//! Hugging Face model directories, in and out.
//!
//! One table, [`hf_windows`], says which of their tensors is which part of which of our parameters.
//!
//! A reward model is saved as `…ForSequenceClassification` with `num_labels: 1` and `score.weight` [1, C].
//! That class has no bias, so the centring bias goes into config.json as [`BIAS`], a key that `transformers`
//! keeps and ignores. Its scores are ours less that number.
//!
//! Their class finds the last token of each row of a batch as the last that is not `pad_token_id`. If that
//! were the end token, it would read the score one token too early, as our scores are read at the end token.
//! So we write the pad id that the config has, if it is not an end token, and else none: `transformers` then
//! asks for one when given a batch, and scores single sequences as we do.
use crate::config::{Config, HeadKind, ids};
use crate::error::{At, ModelError, Result};
use crate::files::{beside, read_text, remove_leftovers, rename, sync_dir, write_atomic};
use crate::heads::Head;
use crate::lora::{self, Bases};
use crate::safetensors::{self, Archive, Array};
use crate::transformer::Transformer;
use crate::windows::{Window, hf_windows, lm_head};
use autograd::{Base, ParamId, Params};
use kernels::Device;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

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

/// Read a model directory: config.json, generation_config.json if there, and the weights in one file or in
/// shards with their index; or an adapter directory, and the model that it stands on.
pub fn load(dir: &Path, device: &Device) -> Result<Loaded> {
    load_sharing(dir, device, &mut Bases::default())
}

/// As `load`; adapters of one frozen model share it.
pub fn load_sharing(dir: &Path, device: &Device, bases: &mut Bases) -> Result<Loaded> {
    if lora::is_adapter(dir) {
        return lora::load(dir, device, bases);
    }
    let source = Source::open(dir)?;
    let (transformer, builder) = Transformer::lay_out(&source.config, source.head, None);
    let (shapes, mut params) = (builder.shapes(), builder.build(&Device::Cpu));
    source.fill(&transformer, &shapes, |id, numbers| params.set(id, &numbers))?;
    Ok(Loaded { transformer, params: params.to(device) })
}

/// A model that does not learn, in bf16. No more of it than one matrix is ever held in f32.
pub(crate) fn load_base(dir: &Path, device: &Device) -> Result<(Transformer, Base)> {
    let source = Source::open(dir)?;
    let (model, builder) = Transformer::lay_out(&source.config, source.head, None);
    let (shapes, mut base) = (builder.shapes(), builder.freeze());
    source.fill(&model, &shapes, |id, numbers| base.set(id, numbers, device))?;
    Ok((model, base))
}

/// A directory whose sizes have been found to fit each other.
struct Source {
    config: Config,
    head: HeadKind,
    weights: Weights,
    bias: f32,
}

impl Source {
    fn open(dir: &Path) -> Result<Source> {
        let json = read_json(&dir.join("config.json"))?;
        let config = load_config(dir, &json)?;
        let weights = Weights::open(dir)?;
        let head = weights.head(&json);
        weights.check_size(&config, head)?;
        let bias = json.get(BIAS).map_or(Some(0.0), Value::as_f64).ok_or_else(|| {
            ModelError::file(&dir.join("config.json"), format!("`{BIAS}`: expected a number"), "Mend or remove it.")
        })?;
        Ok(Source { config, head, weights, bias: bias as f32 })
    }

    fn fill(&self, model: &Transformer, shapes: &Shapes, mut set: impl FnMut(ParamId, Vec<f32>)) -> Result<()> {
        if let Some(bias) = model.score_bias() {
            set(bias, vec![self.bias]);
        }
        self.weights.fill(model, shapes, set)
    }
}

type Shapes = HashMap<ParamId, Vec<usize>>;

/// What `config.json` and `generation_config.json` of a model directory, or of an adapter's, say.
pub fn read_config(dir: &Path) -> Result<Config> {
    if lora::is_adapter(dir) {
        return read_config(&lora::base_of(dir)?);
    }
    load_config(dir, &read_json(&dir.join("config.json"))?)
}

fn load_config(dir: &Path, json: &Value) -> Result<Config> {
    let path = dir.join("config.json");
    let mut config = Config::from_hf(json)
        .map_err(|problem| ModelError::file(&path, problem, "Give a model that this program can compute."))?;
    let path = dir.join("generation_config.json");
    if path.exists() {
        let generation = read_json(&path)?;
        let eos = ids(generation.get("eos_token_id"))
            .map_err(|e| ModelError::file(&path, format!("`eos_token_id`: {e}"), "Mend or remove it."))?;
        if let Some(&id) = eos.iter().find(|&&id| id as usize >= config.vocab) {
            let problem = format!("`eos_token_id` {id} is not below vocab_size {}", config.vocab);
            return Err(ModelError::file(&path, problem, "Mend or remove it."));
        }
        if !eos.is_empty() {
            config.eos = eos;
        }
    }
    Ok(config)
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = read_text(path, 1 << 20)?;
    serde_json::from_str(&text).map_err(|e| ModelError::file(path, format!("not JSON: {e}"), "Mend it."))
}

/// The tensors of a directory, in however many files.
struct Weights {
    dir: PathBuf,
    archives: Vec<Archive>,
    /// Our spelling of a name → the archive that has it, and its spelling there.
    found: BTreeMap<String, (usize, String)>,
}

impl Weights {
    fn open(dir: &Path) -> Result<Weights> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let paths = match (single.exists(), index.exists()) {
            (true, _) => vec![single],
            (false, true) => shards(dir, &index)?,
            (false, false) => {
                let remedy = "Convert other formats to safetensors first; pickled files (.bin, .pt) run code \
                              when opened and are never read.";
                return Err(ModelError::file(dir, "no model.safetensors, and no index of shards", remedy));
            }
        };
        let archives = paths.iter().map(|path| Archive::open(path)).collect::<Result<Vec<_>>>()?;
        let mut found = BTreeMap::new();
        for (a, archive) in archives.iter().enumerate() {
            for name in archive.names().into_iter().filter(|name| !is_buffer(name)) {
                if let Some((b, name)) = found.insert(name.clone(), (a, name)) {
                    let problem = format!("`{name}` is also in {}", archives[b].path().display());
                    return Err(ModelError::file(archive.path(), problem, "Remove one of them."));
                }
            }
        }
        Ok(Weights { dir: dir.into(), archives, found })
    }

    /// Scores where the config or the tensors say so.
    fn head(&self, json: &Value) -> HeadKind {
        let classes = json.get("architectures").and_then(Value::as_array);
        let scores = |name: &Value| name.as_str().is_some_and(|n| n.ends_with("ForSequenceClassification"));
        match self.found.contains_key("score.weight") || classes.is_some_and(|c| c.iter().any(scores)) {
            true => HeadKind::Score,
            false => HeadKind::Lm,
        }
    }

    /// Before anything is allocated: the config must not promise more than the files hold.
    fn check_size(&self, config: &Config, head: HeadKind) -> Result<()> {
        let sizes = self.found.values().filter_map(|(a, name)| self.archives[*a].shape(name));
        let have: usize = sizes.map(|shape| shape.iter().product::<usize>()).sum();
        match config.parameters(head) {
            // + 1: the bias of a score head is not in the files
            Some(need) if need <= have + 1 => Ok(()),
            need => {
                let need = need.map_or("far too many".into(), |n| n.to_string());
                let problem = format!("config.json describes {need} parameters, the weights are {have}");
                Err(ModelError::file(&self.dir, problem, "The two are of different models, or a file is missing."))
            }
        }
    }

    /// GPT-2's first files have no `transformer.` before their names, and bodies without a head no `model.`.
    fn get(&self, name: &str) -> Option<(&Archive, &str)> {
        let short = ["transformer.", "model.", "gpt_neox."].iter().find_map(|prefix| name.strip_prefix(prefix));
        let (archive, spelt) = self.found.get(name).or_else(|| self.found.get(short?))?;
        Some((&self.archives[*archive], spelt))
    }

    fn fill(&self, model: &Transformer, shapes: &Shapes, mut set: impl FnMut(ParamId, Vec<f32>)) -> Result<()> {
        let windows = hf_windows(model);
        let mut used = BTreeSet::new();
        for windows in windows.chunk_by(|a, b| a.param == b.param) {
            let shape = &shapes[&windows[0].param];
            let mut numbers = Vec::with_capacity(shape.iter().product());
            for window in windows {
                let (archive, spelt) = self.get(&window.hf_name).ok_or_else(|| self.missing(window))?;
                let wanted = window.hf_shape(shape);
                if archive.shape(spelt) != Some(&wanted) {
                    let problem = format!("`{spelt}` has shape {:?}, {wanted:?} is expected", archive.shape(spelt));
                    let remedy = "The weights and config.json are of different models.";
                    return Err(ModelError::file(archive.path(), problem, remedy));
                }
                let theirs = archive.read(spelt)?;
                used.insert(spelt.to_string());
                numbers.extend(window.from_hf(&wanted, theirs));
            }
            set(windows[0].param, numbers);
        }
        self.refuse_others(&used, model)
    }

    fn missing(&self, window: &Window) -> ModelError {
        let problem = format!("no tensor `{}`", window.hf_name);
        ModelError::file(&self.dir, problem, "A shard is missing, or config.json is of another model.")
    }

    /// A tensor that nobody read would have changed the result.
    fn refuse_others(&self, used: &BTreeSet<String>, model: &Transformer) -> Result<()> {
        let head_unused = !matches!(model.head, Head::Untied(_)); // tied, or replaced by a score
        let known = |name: &String| used.contains(name) || head_unused && name == lm_head(model.config.arch);
        let extra = self.found.values().find(|(_, name)| !known(name));
        match extra {
            None => Ok(()),
            Some((archive, name)) => {
                let problem = format!("`{name}` is no part of a {:?} as config.json describes it", model.config.arch);
                let remedy = "The model computes something that this program does not.";
                Err(ModelError::file(self.archives[*archive].path(), problem, remedy))
            }
        }
    }
}

/// Constants that old files carry along: causal masks and rotary frequencies.
fn is_buffer(name: &str) -> bool {
    let ends = [".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"];
    ends.iter().any(|end| name.ends_with(end))
}

/// The files that an index names. A name must be a plain file name: an index from elsewhere must not reach
/// outside its directory (`..`, absolute paths, which `Path::join` would follow).
fn shards(dir: &Path, index: &Path) -> Result<Vec<PathBuf>> {
    let text = read_text(index, 16 << 20)?;
    let wrong = |problem: String| ModelError::file(index, problem, "Copy or download it again.");
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let index: Index = serde_json::from_str(&text).map_err(|e| wrong(format!("not an index of shards: {e}")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    let plain = |name: &str| {
        let stem = name.strip_suffix(".safetensors").unwrap_or("");
        (1..=255).contains(&stem.len())
            && !stem.starts_with('.')
            && stem.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    match names.iter().find(|name| !plain(name)) {
        Some(name) => Err(wrong(format!("`{}` is not a plain name of a .safetensors file", name.escape_debug()))),
        None if names.is_empty() => Err(wrong("it names no file".into())),
        None => Ok(names.into_iter().map(|name| dir.join(name)).collect()),
    }
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
    let tokens = [("bos_token_id", config.bos.into()), ("eos_token_id", config.eos_to_hf())];
    let tokens: Map<String, Value> = tokens.into_iter().map(|(k, v): (_, Value)| (k.to_string(), v)).collect();
    write_json(&dir.join("generation_config.json"), &Value::Object(tokens))?;

    let weights = dir.join("model.safetensors");
    let beside = beside(&weights);
    safetensors::write(&beside, &arrays(&hf_windows(model), &params.to(&Device::Cpu)))?;
    rename(&beside, &weights)?;

    let mut json = config.to_hf(model.head_kind());
    if let Some(bias) = model.score_bias() {
        json[BIAS] = json!(params.get(bias).item());
        if config.pad.is_some_and(|pad| config.eos.contains(&pad)) {
            json["pad_token_id"] = Value::Null;
        }
    }
    write_json(&dir.join("config.json"), &json)?;
    sync_dir(dir)
}

pub(crate) fn arrays(windows: &[Window], params: &Params) -> Vec<Array<'static>> {
    let array = |window: &Window| {
        let (shape, numbers) = window.to_hf(&params.get(window.param));
        Array { name: window.hf_name.clone(), shape, numbers: numbers.into() }
    };
    windows.iter().map(array).collect()
}

pub(crate) fn write_json(path: &Path, json: &Value) -> Result<()> {
    write_atomic(path, format!("{json:#}\n").as_bytes())
}

fn refuse_other_model(dir: &Path, model: &Transformer) -> Result<()> {
    let remedy = "Choose another directory, or remove what is there.";
    if !dir.join("config.json").exists() {
        return match dir.join("model.safetensors").exists() || dir.join("model.safetensors.index.json").exists() {
            true => Err(ModelError::file(dir, "holds weights without a config.json", remedy)),
            false => Ok(()),
        };
    }
    let same = |json: Value| {
        let head = if json.get(BIAS).is_some() { HeadKind::Score } else { HeadKind::Lm };
        let there = Config::from_hf(&json).ok()?;
        let ours = &model.config;
        let there = Config { bos: ours.bos, eos: ours.eos.clone(), pad: ours.pad, ..there };
        (there == *ours && head == model.head_kind()).then_some(())
    };
    match read_json(&dir.join("config.json")).ok().and_then(same) {
        Some(()) => Ok(()),
        None => Err(ModelError::file(dir, "holds another model, which would be overwritten", remedy)),
    }
}
