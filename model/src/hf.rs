//! Hugging Face model directories, in and out; a GGUF file is read as if it were one.
//!
//! One table, [`hf_windows`], says which of their tensors is which part of which of our parameters. It is
//! all there is to loading, to saving, and to comparing gradients with PyTorch's.
//!
//! A reward model is saved as `…ForSequenceClassification` with `num_labels: 1` and `score.weight` [1, C].
//! That class has no bias, so the centring bias goes into config.json as [`BIAS`], a key that `transformers`
//! keeps and ignores. Its scores are ours less that number.
//!
//! Their class finds the last token of each row of a batch as the last that is not `pad_token_id`. If that
//! were the end token, it would read the score one token too early, as our scores are read at the end token.
//! So we write the pad id that the config has, if it is not an end token, and else none: `transformers` then
//! asks for one when given a batch, and scores single sequences as we do.
use crate::config::{Arch, Config, HeadKind};
use crate::dtype::Dtype;
use crate::error::{At, ModelError, Result};
use crate::files::{beside, remove_leftovers, rename, sync_dir, write_atomic};
use crate::heads::Head;
use crate::safetensors;
use crate::source::{Source, read_json};
use crate::transformer::{Linear, Norm, Positions, Transformer};
use autograd::{ParamId, Params};
use kernels::{Device, Tensor};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

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

/// One tensor of theirs: rows `rows` of our `param`, transposed where theirs is [I, O] (GPT-2's Conv1D).
#[derive(Clone, Debug)]
pub struct Window {
    pub hf_name: String,
    pub param: ParamId,
    pub rows: Range<usize>,
    pub transposed: bool,
}

impl Window {
    /// Shape and numbers as theirs, cut from `ours`: the parameter or its gradient.
    pub fn to_hf(&self, ours: &Tensor) -> (Vec<usize>, Vec<f32>) {
        let part = ours.rows(self.rows.clone());
        let (shape, numbers) = (part.shape().to_vec(), part.to_vec());
        match (self.transposed, &shape[..]) {
            (true, &[o, i]) => (vec![i, o], transpose(&numbers, o, i)),
            _ => (shape, numbers),
        }
    }

    /// Their shape, where ours is `shape`.
    pub(crate) fn hf_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        shape[0] = self.rows.len();
        if self.transposed {
            shape.reverse();
        }
        shape
    }
}

/// [rows, cols] → [cols, rows]
fn transpose(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    transpose_into(x, rows, cols, &mut y);
    y
}

pub(crate) fn transpose_into(x: &[f32], rows: usize, cols: usize, y: &mut [f32]) {
    y.iter_mut().enumerate().for_each(|(i, y)| *y = x[i % rows * cols + i / rows]);
}

/// Every tensor of the Hugging Face form of this model; the windows of one parameter stand together.
pub fn hf_windows(model: &Transformer) -> Vec<Window> {
    let mut table = Table { config: &model.config, windows: Vec::new() };
    match model.config.arch {
        Arch::Gpt2 => table.gpt2(model),
        Arch::Llama => table.llama(model),
    }
    match model.head {
        Head::Tied => {}
        Head::Untied(weight) => table.whole("lm_head.weight", weight, model.config.vocab),
        Head::Score(score) => table.whole("score.weight", score.weight, 1),
    }
    table.windows
}

struct Table<'a> {
    config: &'a Config,
    windows: Vec<Window>,
}

impl Table<'_> {
    fn add(&mut self, hf_name: String, param: ParamId, rows: Range<usize>, transposed: bool) {
        self.windows.push(Window { hf_name, param, rows, transposed });
    }

    fn whole(&mut self, name: &str, param: ParamId, rows: usize) {
        self.add(name.into(), param, 0..rows, false);
    }

    fn norm(&mut self, name: &str, norm: &Norm) {
        self.whole(&format!("{name}.weight"), norm.gain, self.config.channels);
        if let Some(bias) = norm.bias {
            self.whole(&format!("{name}.bias"), bias, self.config.channels);
        }
    }

    fn conv1d(&mut self, name: &str, linear: &Linear, outputs: usize) {
        self.add(format!("{name}.weight"), linear.weight, 0..outputs, true);
        self.whole(&format!("{name}.bias"), linear.bias.expect("GPT-2 has biases"), outputs);
    }

    fn gpt2(&mut self, model: &Transformer) {
        let Config { vocab, context, channels, hidden, heads, .. } = *self.config;
        self.whole("transformer.wte.weight", model.embedding, vocab);
        if let Positions::Learned(table) = model.positions {
            self.whole("transformer.wpe.weight", table, context);
        }
        for (l, block) in model.blocks.iter().enumerate() {
            let at = |name: &str| format!("transformer.h.{l}.{name}");
            self.norm(&at("ln_1"), &block.norm1);
            self.conv1d(&at("attn.c_attn"), &block.qkv, heads.qkv());
            self.conv1d(&at("attn.c_proj"), &block.out, channels);
            self.norm(&at("ln_2"), &block.norm2);
            self.conv1d(&at("mlp.c_fc"), &block.up, hidden);
            self.conv1d(&at("mlp.c_proj"), &block.down, channels);
        }
        self.norm("transformer.ln_f", &model.norm);
    }

    fn llama(&mut self, model: &Transformer) {
        let Config { vocab, channels, hidden, heads, .. } = *self.config;
        let (q, kv) = (heads.q * heads.dim, heads.kv * heads.dim);
        self.whole("model.embed_tokens.weight", model.embedding, vocab);
        for (l, block) in model.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{l}.{name}.weight");
            self.whole(&at("input_layernorm"), block.norm1.gain, channels);
            for (name, rows) in [("q", 0..q), ("k", q..q + kv), ("v", q + kv..q + 2 * kv)] {
                self.add(at(&format!("self_attn.{name}_proj")), block.qkv.weight, rows, false);
            }
            self.whole(&at("self_attn.o_proj"), block.out.weight, channels);
            self.whole(&at("post_attention_layernorm"), block.norm2.gain, channels);
            for (name, rows) in [("gate", 0..hidden), ("up", hidden..2 * hidden)] {
                self.add(at(&format!("mlp.{name}_proj")), block.up.weight, rows, false);
            }
            self.whole(&at("mlp.down_proj"), block.down.weight, channels);
        }
        self.norm("model.norm", &model.norm);
    }
}

/// Read a model: a GGUF file, or a directory with config.json, generation_config.json if there, and the weights
/// in one file or in shards with their index. The numbers go from the mapped files to their places one tensor at
/// a time.
pub fn load(path: &Path, device: &Device) -> Result<Loaded> {
    let source = Source::open(path)?;
    let (model, builder) = source.lay_out()?;
    let mut params = builder.build(&Device::Cpu);
    source.weights.fill(&model, &mut params)?;
    if let Some(bias) = model.score_bias() {
        let number = source.json.get(BIAS).map_or(Some(0.0), Value::as_f64).ok_or_else(|| {
            ModelError::file(&path.join("config.json"), format!("`{BIAS}`: expected a number"), "Mend or remove it.")
        })?;
        params.set(bias, &[number as f32]);
    }
    Ok(Loaded { transformer: model, params: params.to(device) })
}

/// Write a model directory. Each file appears whole or not at all, config.json last: a directory without it
/// is not yet a model. A directory that holds a model of another kind or size is not overwritten.
///
/// `tokenizer` is the text of tokenizer.json.
pub fn save(dir: &Path, model: &Transformer, params: &Params, tokenizer: Option<&str>) -> Result<()> {
    refuse_other_model(dir, model)?;
    fs::create_dir_all(dir).at("create", dir)?;
    remove_leftovers(dir)?;
    let config = &model.config;
    if let Some(text) = tokenizer {
        write_atomic(&dir.join("tokenizer.json"), text.as_bytes())?;
    }
    write_json(&dir.join("generation_config.json"), &generation_config(config))?;

    let weights = dir.join("model.safetensors");
    let beside = beside(&weights);
    let params = params.to(&Device::Cpu);
    write_weights(&beside, model, &params)?;
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

pub(crate) fn generation_config(config: &Config) -> Value {
    json!({"bos_token_id": config.bos, "eos_token_id": config.eos_to_hf()})
}

fn write_weights(path: &Path, model: &Transformer, params: &Params) -> Result<()> {
    let windows: HashMap<String, Window> = hf_windows(model).into_iter().map(|w| (w.hf_name.clone(), w)).collect();
    let shape = |(name, w): (&String, &Window)| (name.clone(), w.hf_shape(params.shape(w.param)));
    let shapes: Vec<_> = windows.iter().map(shape).collect();
    safetensors::write_as(path, Dtype::F32, &shapes, |name| {
        let window = &windows[name];
        Ok(window.to_hf(&params.get(window.param)).1.into())
    })
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
