//! A model as it lies on the disk, a directory or a GGUF file: what its config.json says, and its tensors, each
//! checked before it is read.
use crate::archive::Archive;
use crate::config::{Config, HeadKind, ids};
use crate::error::{ModelError, Result};
use crate::files::read_text;
use crate::gguf::{self, Value as Said, is_gguf};
use crate::heads::Head;
use crate::hf::BIAS;
use crate::lora;
use crate::safetensors;
use crate::transformer::Transformer;
use crate::windows::{Window, hf_windows, lm_head};
use autograd::{ParamId, Params, ParamsBuilder};
use kernels::{Device, Tensor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// Where a directory has its chat template.
pub const TEMPLATE: &str = "chat_template.jinja";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The chat template in GGUF.
pub(crate) const TEMPLATE_KEY: &str = "tokenizer.chat_template";

/// What the configuration of a model says.
pub fn read_config(path: &Path) -> Result<Config> {
    if lora::is_adapter(path) {
        return read_config(&lora::base_of(path)?);
    }
    match is_gguf(path) {
        true => Ok(Source::open(path)?.config),
        false => load_config(path, &read_json(&path.join("config.json"))?),
    }
}

/// How many tensors of a model, or of that which an adapter stands on, are stored as what.
pub fn dtypes(path: &Path) -> Result<BTreeMap<String, usize>> {
    if lora::is_adapter(path) {
        return dtypes(&lora::base_of(path)?);
    }
    let weights = Source::open(path)?.weights;
    let mut count = BTreeMap::new();
    for dtype in weights.found.values().filter_map(|(archive, name)| weights.archives[*archive].dtype(name)) {
        *count.entry(dtype).or_default() += 1;
    }
    Ok(count)
}

/// The Jinja template that a model brings.
pub struct ChatTemplate {
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
pub fn chat_template(path: &Path) -> Result<Option<ChatTemplate>> {
    if is_gguf(path) {
        return gguf_template(path);
    }
    let (file, config) = (path.join(TEMPLATE), path.join(TOKENIZER_CONFIG));
    let said = if config.exists() { parse_json(&config, &read_text(&config, 64 << 20)?)? } else { Value::Null };
    let (text, path) = match file.exists() {
        true => (Some(read_text(&file, 1 << 20)?), file),
        false => (in_config(&said["chat_template"]), config),
    };
    let token = |name: &str| said[name].as_str().or(said[name]["content"].as_str()).map(String::from);
    let tokens = TOKENS.iter().filter_map(|(name, _)| Some((name.to_string(), token(name)?))).collect();
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
        if !is_gguf(path) {
            let json = read_json(&path.join("config.json"))?;
            return Ok(Source { config: load_config(path, &json)?, json, weights: Weights::open(path)? });
        }
        let archive = gguf::Archive::open(path)?;
        let json = archive.config.clone();
        let config = parse_config(path, &json)?;
        let found = archive.names().into_iter().map(|name| (name.clone(), (0, name))).collect();
        Ok(Source {
            json,
            config,
            weights: Weights { dir: path.into(), archives: vec![Archive::Gguf(archive)], found },
        })
    }

    /// The network; the files hold as many numbers as it has.
    pub(crate) fn lay_out(&self) -> Result<(Transformer, ParamsBuilder)> {
        let head = self.weights.head(&self.json);
        self.weights.check_size(&self.config, head)?;
        Ok(Transformer::lay_out(&self.config, head, None))
    }

    /// What is added to every score.
    pub(crate) fn score_bias(&self, path: &Path) -> Result<f32> {
        let number = self.json.get(BIAS).map_or(Some(0.0), Value::as_f64);
        number.map(|number| number as f32).ok_or_else(|| {
            ModelError::file(&path.join("config.json"), format!("`{BIAS}`: expected a number"), "Mend or remove it.")
        })
    }

    /// The network without its numbers, and the names and shapes of its tensors, all of which are there.
    pub(crate) fn tensors(&self) -> Result<(Transformer, Vec<(String, Vec<usize>)>)> {
        let (model, builder) = self.lay_out()?;
        let mut used = BTreeSet::new();
        let shapes = hf_windows(&model).into_iter().map(|window| {
            let shape = window.hf_shape(builder.shape(window.param));
            used.insert(self.weights.find(&window, &shape)?.1.to_string());
            Ok((window.hf_name, shape))
        });
        let shapes = shapes.collect::<Result<_>>()?;
        self.weights.refuse_others(&used, &model)?;
        Ok((model, shapes))
    }

    /// The numbers of one of them.
    pub(crate) fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let (archive, spelt) = self.weights.get(name).expect("named by `tensors`");
        archive.read_into(spelt, out)
    }
}

fn load_config(dir: &Path, json: &Value) -> Result<Config> {
    let mut config = parse_config(&dir.join("config.json"), json)?;
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

fn parse_config(path: &Path, json: &Value) -> Result<Config> {
    Config::from_hf(json)
        .map_err(|problem| ModelError::file(path, problem, "Give a model that this program can compute."))
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    parse_json(path, &read_text(path, 1 << 20)?)
}

fn parse_json(path: &Path, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| ModelError::file(path, format!("not JSON: {e}"), "Mend it."))
}

/// The tensors of a directory, in however many files.
pub(crate) struct Weights {
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
        let open = |path: &PathBuf| Ok(Archive::Safetensors(safetensors::Archive::open(path)?));
        let archives = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
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

    pub(crate) fn fill(&self, model: &Transformer, params: &mut Params) -> Result<()> {
        let mut used = BTreeSet::new();
        for window in hf_windows(model) {
            let shape = window.hf_shape(params.shape(window.param));
            used.insert(self.read_window(&window, &shape, params.data_mut(window.param))?);
        }
        self.refuse_others(&used, model)
    }

    /// Every parameter by itself, of the shape that is asked for.
    pub(crate) fn each(
        &self,
        model: &Transformer,
        shape: impl Fn(ParamId) -> Vec<usize>,
        mut take: impl FnMut(ParamId, Tensor),
    ) -> Result<()> {
        let (windows, mut used) = (hf_windows(model), BTreeSet::new());
        for windows in windows.chunk_by(|a, b| a.param == b.param) {
            let shape = shape(windows[0].param);
            let mut numbers = Tensor::zeros(&Device::Cpu, &shape);
            for window in windows {
                used.insert(self.read_window(window, &window.hf_shape(&shape), numbers.data_mut())?);
            }
            take(windows[0].param, numbers);
        }
        self.refuse_others(&used, model)
    }

    /// A window of the parameter whose numbers are `ours`. Returns the name under which it was found.
    fn read_window(&self, window: &Window, shape: &[usize], ours: &mut [f32]) -> Result<String> {
        let (archive, spelt) = self.find(window, shape)?;
        let size: usize = shape.iter().product();
        let place = &mut ours[size / window.rows.len() * window.rows.start..][..size];
        archive.read_into(spelt, place)?;
        window.make_ours(shape, place);
        Ok(spelt.to_string())
    }

    /// The tensor of a window, which must have this shape.
    fn find(&self, window: &Window, shape: &[usize]) -> Result<(&Archive, &str)> {
        let (archive, spelt) = self.get(&window.hf_name).ok_or_else(|| self.missing(window))?;
        if archive.shape(spelt) != Some(shape) {
            let problem = format!("`{spelt}` has shape {:?}, {shape:?} is expected", archive.shape(spelt));
            let remedy = "The weights and config.json are of different models.";
            return Err(ModelError::file(archive.path(), problem, remedy));
        }
        Ok((archive, spelt))
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
