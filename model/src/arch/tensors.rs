//! Which tensor of a Hugging Face file is which part of which of our parameters: all there is to loading, to saving,
//! and to comparing gradients with PyTorch's.
use crate::net::config::{Arch, Config};
use crate::net::heads::Head;
use crate::net::transformer::{Linear, Norm, Positions, Transformer};
use autograd::ParamId;
use kernels::Tensor;
use std::ops::Range;

/// One tensor of theirs: rows `rows` of our `param`.
#[derive(Clone, Debug)]
pub struct Window {
    pub hf_name: String,
    pub param: ParamId,
    pub rows: Range<usize>,
    pub layout: Layout,
}

/// How they store what we have as [O, I].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Same,
    /// [I, O]: GPT-2's Conv1D.
    Transposed,
    /// Ours are all queries, all keys, all values of so many heads; theirs, head by head, its query, key and value.
    ByHead(usize),
}

impl Window {
    /// Shape and numbers as theirs, cut from `ours`: the parameter or its gradient.
    pub fn to_hf(&self, ours: &Tensor) -> (Vec<usize>, Vec<f32>) {
        let mut numbers = ours.rows(self.rows.clone()).to_vec();
        let shape = self.hf_shape(ours.shape());
        match self.layout {
            Layout::Same => {}
            Layout::Transposed => swap(&mut numbers, shape[1], shape[0]),
            Layout::ByHead(heads) => swap(&mut numbers, 3, heads),
        }
        (shape, numbers)
    }

    /// Numbers of theirs, of this shape, become ours where they are.
    pub(crate) fn make_ours(&self, shape: &[usize], numbers: &mut [f32]) {
        match self.layout {
            Layout::Same => {}
            Layout::Transposed => swap(numbers, shape[0], shape[1]),
            Layout::ByHead(heads) => swap(numbers, heads, 3),
        }
    }

    /// Their shape, where ours is `shape`.
    pub(crate) fn hf_shape(&self, shape: &[usize]) -> Vec<usize> {
        let mut shape = shape.to_vec();
        shape[0] = self.rows.len();
        if self.layout == Layout::Transposed {
            shape.reverse();
        }
        shape
    }
}

/// [a, b, rest] → [b, a, rest]
fn swap(numbers: &mut [f32], a: usize, b: usize) {
    let (from, rest) = (numbers.to_vec(), numbers.len() / (a * b));
    for (at, to) in numbers.chunks_exact_mut(rest).enumerate() {
        let (j, i) = (at / a, at % a);
        to.copy_from_slice(&from[(i * b + j) * rest..][..rest]);
    }
}

/// The language-model head, where it is not the embedding.
pub(crate) fn lm_head(arch: Arch) -> &'static str {
    if arch == Arch::GptNeox { "embed_out.weight" } else { "lm_head.weight" }
}

/// The table of embeddings.
pub(crate) fn embedding(arch: Arch) -> &'static str {
    match arch {
        Arch::Gpt2 => "transformer.wte.weight",
        Arch::GptNeox => "gpt_neox.embed_in.weight",
        _ => "model.embed_tokens.weight",
    }
}

/// Every tensor of the Hugging Face form of this model; the windows of one parameter stand together.
pub fn hf_windows(model: &Transformer) -> Vec<Window> {
    let config = &model.config;
    let mut table = Table { config, windows: Vec::new() };
    match config.arch {
        Arch::Gpt2 => table.gpt2(model),
        Arch::GptNeox => table.gpt_neox(model),
        _ => table.llama(model),
    }
    match model.head {
        Head::Tied => {}
        Head::Untied(weight) => table.whole(lm_head(config.arch), weight, config.vocab),
        Head::Score(score) => table.whole("score.weight", score.weight, 1),
    }
    table.windows
}

struct Table<'a> {
    config: &'a Config,
    windows: Vec<Window>,
}

impl Table<'_> {
    fn add(&mut self, hf_name: String, param: ParamId, rows: Range<usize>, layout: Layout) {
        self.windows.push(Window { hf_name, param, rows, layout });
    }

    fn whole(&mut self, name: &str, param: ParamId, rows: usize) {
        self.add(name.into(), param, 0..rows, Layout::Same);
    }

    fn norm(&mut self, name: &str, norm: &Norm) {
        self.whole(&format!("{name}.weight"), norm.gain, self.config.channels);
        if let Some(bias) = norm.bias {
            self.whole(&format!("{name}.bias"), bias, self.config.channels);
        }
    }

    /// A layer of ours that is several of theirs, one for each (name, rows).
    fn linears(&mut self, linear: &Linear, parts: &[(String, Range<usize>)], layout: Layout) {
        for (name, rows) in parts {
            self.add(format!("{name}.weight"), linear.weight, rows.clone(), layout);
        }
        let of_bias = if layout == Layout::Transposed { Layout::Same } else { layout };
        for (name, rows) in parts {
            if let Some(bias) = linear.bias {
                self.add(format!("{name}.bias"), bias, rows.clone(), of_bias);
            }
        }
    }

    fn linear(&mut self, name: String, linear: &Linear, outputs: usize, layout: Layout) {
        self.linears(linear, &[(name, 0..outputs)], layout);
    }

    fn gpt2(&mut self, model: &Transformer) {
        let Config { vocab, context, channels, intermediate_size, heads, .. } = *self.config;
        self.whole(embedding(Arch::Gpt2), model.embedding, vocab);
        if let Positions::Learned(table) = model.positions {
            self.whole("transformer.wpe.weight", table, context);
        }
        for (l, block) in model.blocks.iter().enumerate() {
            let at = |name: &str| format!("transformer.h.{l}.{name}");
            self.norm(&at("ln_1"), &block.norm1);
            self.linear(at("attn.c_attn"), &block.qkv, heads.qkv(), Layout::Transposed);
            self.linear(at("attn.c_proj"), &block.out, channels, Layout::Transposed);
            self.norm(&at("ln_2"), &block.norm2);
            self.linear(at("mlp.c_fc"), &block.up, intermediate_size, Layout::Transposed);
            self.linear(at("mlp.c_proj"), &block.down, channels, Layout::Transposed);
        }
        self.norm("transformer.ln_f", &model.norm);
    }

    fn gpt_neox(&mut self, model: &Transformer) {
        let Config { vocab, channels, intermediate_size, heads, .. } = *self.config;
        self.whole(embedding(Arch::GptNeox), model.embedding, vocab);
        for (l, block) in model.blocks.iter().enumerate() {
            let at = |name: &str| format!("gpt_neox.layers.{l}.{name}");
            self.norm(&at("input_layernorm"), &block.norm1);
            self.linear(at("attention.query_key_value"), &block.qkv, heads.qkv(), Layout::ByHead(heads.q));
            self.linear(at("attention.dense"), &block.out, channels, Layout::Same);
            self.norm(&at("post_attention_layernorm"), &block.norm2);
            self.linear(at("mlp.dense_h_to_4h"), &block.up, intermediate_size, Layout::Same);
            self.linear(at("mlp.dense_4h_to_h"), &block.down, channels, Layout::Same);
        }
        self.norm("gpt_neox.final_layer_norm", &model.norm);
    }

    /// Mistral, Qwen2 and Qwen3 too.
    fn llama(&mut self, model: &Transformer) {
        let Config { vocab, channels, intermediate_size, heads, .. } = *self.config;
        let (q, kv) = (heads.q * heads.dim, heads.kv * heads.dim);
        self.whole(embedding(Arch::Llama), model.embedding, vocab);
        for (l, block) in model.blocks.iter().enumerate() {
            let at = |name: &str| format!("model.layers.{l}.{name}");
            self.norm(&at("input_layernorm"), &block.norm1);
            let parts = [("q", 0..q), ("k", q..q + kv), ("v", q + kv..q + 2 * kv)];
            let parts = parts.map(|(name, rows)| (at(&format!("self_attn.{name}_proj")), rows));
            self.linears(&block.qkv, &parts, Layout::Same);
            for (name, gain) in ["q", "k"].into_iter().zip(block.qk_norm.into_iter().flatten()) {
                self.whole(&at(&format!("self_attn.{name}_norm.weight")), gain, heads.dim);
            }
            self.linear(at("self_attn.o_proj"), &block.out, channels, Layout::Same);
            self.norm(&at("post_attention_layernorm"), &block.norm2);
            let parts = [
                (at("mlp.gate_proj"), 0..intermediate_size),
                (at("mlp.up_proj"), intermediate_size..2 * intermediate_size),
            ];
            self.linears(&block.up, &parts, Layout::Same);
            self.linear(at("mlp.down_proj"), &block.down, channels, Layout::Same);
        }
        self.norm("model.norm", &model.norm);
    }
}
