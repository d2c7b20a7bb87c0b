//! The tensors of a model, in however many files, each checked before it is read.
use crate::arch::tensors::{Part, TensorMap, tensor_maps, tensor_name};
use crate::error::{ModelError, Result};
use crate::files::archive::Archive;
use crate::files::atomic::read_text;
use crate::files::dtype::{Dtype, not_finite};
use crate::files::gguf;
use crate::files::safetensors;
use crate::json;
use crate::net::config::{Config, HeadKind};
use crate::net::layers::Head;
use crate::net::transformer::Transformer;
use autograd::{ParamId, Params};
use kernels::{Device, Tensor};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// The tensors of a directory, in however many files.
pub(crate) struct Weights {
    dir: PathBuf,
    archives: Vec<Archive>,
    /// Our spelling of a name → the archive that has it, and its spelling there.
    found: BTreeMap<String, (usize, String)>,
}

impl Weights {
    pub(crate) fn open(dir: &Path) -> Result<Weights> {
        let single = dir.join("model.safetensors");
        let index = dir.join("model.safetensors.index.json");
        let paths = match (single.exists(), index.exists()) {
            (true, _) => vec![single],
            (false, true) => shards(dir, &index)?,
            (false, false) if dir.is_dir() && !dir.join("config.json").exists() => {
                return Err(ModelError::file(
                    dir,
                    "holds no model",
                    "A model is a directory with a config.json and \
                    model.safetensors, or a .gguf file.",
                ));
            }
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
        let weights = Weights { dir: dir.into(), archives, found };
        weights.refuse_other_dtypes()?;
        Ok(weights)
    }

    pub(crate) fn of_gguf(path: &Path, archive: gguf::Archive) -> Weights {
        let found = archive.names().into_iter().map(|name| (name.clone(), (0, name))).collect();
        Weights { dir: path.into(), archives: vec![Archive::Gguf(archive)], found }
    }

    /// Of safetensors: other numbers than these are those of a quantised model.
    fn refuse_other_dtypes(&self) -> Result<()> {
        for (archive, name) in self.found.values() {
            let (archive, dtype) = (&self.archives[*archive], self.archives[*archive].dtype(name).unwrap_or_default());
            if !["F32", "F16", "BF16"].contains(&&dtype[..]) {
                let eight = if dtype.starts_with("F8") { "an FP8 model" } else { "a quantised model" };
                let problem = format!("`{name}` is stored as {dtype}, as in {eight}; F32, F16 and BF16 are read");
                let remedy =
                    "Take the model that it was made from, in one of these, or a GGUF file of it (Q8_0, Q4_K_M).";
                return Err(ModelError::file(archive.path(), problem, remedy));
            }
        }
        Ok(())
    }

    /// How many tensors are stored as what.
    pub(crate) fn dtypes(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for dtype in self.found.values().filter_map(|(archive, name)| self.archives[*archive].dtype(name)) {
            *count.entry(dtype).or_default() += 1;
        }
        count
    }

    /// Is the head of a language model its embedding? As transformers 5 has it: not where the file has another one,
    /// whatever config.json says. Where the file has only one of a tied pair, be it the head, it is both.
    pub(crate) fn ties(&mut self, config: &Config) -> bool {
        let (head, rows) = (tensor_name(config, Part::Head), tensor_name(config, Part::Embedding));
        if !config.tied || self.get(&head).is_none() {
            return config.tied;
        }
        if self.get(&rows).is_none() {
            self.found.insert(rows.clone(), self.found[&head].clone());
        }
        let [(a, head), (b, rows)] = [&head, &rows].map(|name| self.get(name).expect("both are there"));
        a.bytes(head) == b.bytes(rows) && a.dtype(head) == b.dtype(rows)
    }

    /// Scores where the config or the tensors say so.
    pub(crate) fn head(&self, json: &Value) -> HeadKind {
        let classes = json.get("architectures").and_then(Value::as_array);
        let scores = |name: &Value| name.as_str().is_some_and(|n| n.ends_with("ForSequenceClassification"));
        match self.found.contains_key("score.weight") || classes.is_some_and(|c| c.iter().any(scores)) {
            true => HeadKind::Score,
            false => HeadKind::Lm,
        }
    }

    /// Before anything is laid out: the config must not promise more than the files hold.
    pub(crate) fn check_size(&self, config: &Config, head: HeadKind) -> Result<()> {
        let sizes = self.found.values().filter_map(|(a, name)| self.archives[*a].shape(name));
        let have: usize = sizes.map(|shape| shape.iter().product::<usize>()).sum();
        if config.layers > self.found.len() {
            let (layers, tensors) = (config.layers, self.found.len());
            let problem = format!("config.json describes {layers} layers, the weights are {tensors} tensors");
            return Err(ModelError::file(&self.dir, problem, "The two are of different models, or a file is missing."));
        }
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
    pub(crate) fn get(&self, name: &str) -> Option<(&Archive, &str)> {
        let short = ["transformer.", "model.", "gpt_neox."].iter().find_map(|prefix| name.strip_prefix(prefix));
        let (archive, spelt) = self.found.get(name).or_else(|| self.found.get(short?))?;
        Some((&self.archives[*archive], spelt))
    }

    pub(crate) fn fill(&self, model: &Transformer, params: &mut Params) -> Result<()> {
        let mut used = BTreeSet::new();
        for map in tensor_maps(model) {
            let shape = map.hf_shape(params.shape(map.param));
            used.insert(self.read_tensor(&map, &shape, params.data_mut(map.param))?);
        }
        self.refuse_others(&used, model)
    }

    /// Every parameter by itself, of the shape that is asked for, and whether bf16 holds it without loss.
    pub(crate) fn each(
        &self,
        model: &Transformer,
        shape: impl Fn(ParamId) -> Vec<usize>,
        mut take: impl FnMut(ParamId, Tensor, bool),
    ) -> Result<()> {
        let (maps, mut used) = (tensor_maps(model), BTreeSet::new());
        for maps in maps.chunk_by(|a, b| a.param == b.param) {
            let shape = shape(maps[0].param);
            let (mut numbers, mut halves) = (Tensor::zeros(&Device::Cpu, &shape), true);
            for map in maps {
                let spelt = self.read_tensor(map, &map.hf_shape(&shape), numbers.data_mut())?;
                halves &= self.is_bf16(map);
                used.insert(spelt);
            }
            take(maps[0].param, numbers, halves);
        }
        self.refuse_others(&used, model)
    }

    /// Has the file the numbers of a tensor in bf16?
    pub(crate) fn is_bf16(&self, map: &TensorMap) -> bool {
        self.get(&map.name).and_then(|(archive, name)| archive.dtype(name)).as_deref() == Some("BF16")
    }

    /// The numbers of one tensor under Hugging Face's name.
    pub(crate) fn read_into(&self, name: &str, out: &mut [f32]) -> Result<()> {
        let (archive, spelt) = self.get(name).expect("found before");
        read_finite(archive, spelt, out)
    }

    /// A tensor into the parameter whose numbers are `ours`. Returns the name under which it was found.
    fn read_tensor(&self, map: &TensorMap, shape: &[usize], ours: &mut [f32]) -> Result<String> {
        let (archive, spelt) = self.find(map, shape)?;
        let size: usize = shape.iter().product();
        let place = &mut ours[size / map.rows.len() * map.rows.start..][..size];
        read_finite(archive, spelt, place)?;
        map.make_ours(shape, place);
        Ok(spelt.to_string())
    }

    /// A tensor, which must have this shape.
    pub(crate) fn find(&self, map: &TensorMap, shape: &[usize]) -> Result<(&Archive, &str)> {
        let (archive, spelt) = self.get(&map.name).ok_or_else(|| self.missing(map))?;
        if archive.shape(spelt) != Some(shape) {
            let problem = format!("`{spelt}` has shape {:?}, {shape:?} is expected", archive.shape(spelt));
            let remedy = "The weights and config.json are of different models.";
            return Err(ModelError::file(archive.path(), problem, remedy));
        }
        Ok((archive, spelt))
    }

    fn missing(&self, map: &TensorMap) -> ModelError {
        let problem = format!("no tensor `{}`", map.name);
        ModelError::file(&self.dir, problem, "A shard is missing, or config.json is of another model.")
    }

    /// A tensor that nobody read would have changed the result.
    pub(crate) fn refuse_others(&self, used: &BTreeSet<String>, model: &Transformer) -> Result<()> {
        let head_unused = !matches!(model.head, Head::Untied(_)); // tied, or replaced by a score
        let head = tensor_name(&model.config, Part::Head);
        let known = |name: &String| used.contains(name) || head_unused && *name == head;
        let extra = self.found.values().find(|(_, name)| !known(name));
        match extra {
            None => Ok(()),
            Some((archive, name)) => {
                if name.contains("v_head.") {
                    let problem = format!("`{name}` is the value head of a model that TRL trained by PPO");
                    let remedy =
                        "Save the model inside of it (model.pretrained_model.save_pretrained), or remove the head.";
                    return Err(ModelError::file(self.archives[*archive].path(), problem, remedy));
                }
                let problem = format!("`{name}` is no part of a {} as config.json describes it", model.config.arch);
                let remedy = "The model computes something that this program does not.";
                Err(ModelError::file(self.archives[*archive].path(), problem, remedy))
            }
        }
    }
}

/// Writes these tensors of a model's parameters, as f32.
pub(crate) fn write_tensors(path: &Path, maps: Vec<TensorMap>, params: &Params) -> Result<()> {
    let maps: HashMap<String, TensorMap> = maps.into_iter().map(|map| (map.name.clone(), map)).collect();
    let shape = |(name, map): (&String, &TensorMap)| (name.clone(), map.hf_shape(params.shape(map.param)));
    let shapes: Vec<_> = maps.iter().map(shape).collect();
    safetensors::write_as(path, Dtype::F32, &shapes, |name| {
        let map = &maps[name];
        Ok(map.to_hf(&params.get(map.param)).1.into())
    })
}

/// The numbers of one tensor. One that is not finite makes every answer of the model meaningless.
fn read_finite(archive: &Archive, name: &str, out: &mut [f32]) -> Result<()> {
    archive.read_into(name, out)?;
    match not_finite(out) {
        None => Ok(()),
        Some((at, number)) => {
            let shape = archive.shape(name).unwrap_or_default();
            let problem = format!("`{name}` {shape:?} is not finite: number {at} of it is {number}");
            let remedy = "The file is damaged, or the model diverged when it was trained; take an earlier one.";
            Err(ModelError::file(archive.path(), problem, remedy))
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
    let json = json::parse(&text).map_err(|e| wrong(format!("not an index of shards: {e}")))?;
    let Some(map) = json["weight_map"].as_object() else {
        return Err(wrong("not an index of shards: no `weight_map`".into()));
    };
    let names: Option<BTreeSet<&str>> = map.values().map(Value::as_str).collect();
    let names = names.ok_or_else(|| wrong("`weight_map`: expected names of files".into()))?;
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
