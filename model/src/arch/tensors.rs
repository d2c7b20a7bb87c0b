//! Which tensor of a Hugging Face file is which part of which of our parameters: all there is to loading, to saving,
//! and to comparing gradients with PyTorch's.
use super::of;
use crate::net::config::Config;
use crate::net::layers::{Head, Linear, Norm};
use crate::net::transformer::{PositionEmbedding, Transformer};
use autograd::ParamId;
use kernels::Tensor;
use std::ops::Range;

/// Part of a network that files name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The tokens' vectors.
    Embedding,
    /// The positions' vectors.
    Positions,
    /// Before attention.
    Norm1,
    /// Queries, keys and values in one.
    Qkv,
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Of each query head.
    QNorm,
    /// Of each key head.
    KNorm,
    /// Out of attention.
    Out,
    /// Before the MLP.
    Norm2,
    /// The first half of the MLP that goes through the activation, where there are two.
    Gate,
    /// The first half of the MLP.
    Up,
    /// The second half of the MLP.
    Down,
    /// After the last block.
    Norm,
    /// The language-model head, where it is not the embedding.
    Head,
}

/// Mapping of one tensor of a Hugging Face file: it is rows `rows` of our `param`.
#[derive(Clone, Debug)]
pub struct TensorMap {
    /// What the file calls it.
    pub name: String,
    /// Our parameter.
    pub param: ParamId,
    /// Its rows that the tensor has.
    pub rows: Range<usize>,
    /// How they lie in the file.
    pub layout: Layout,
}

/// Layout of what we have as [O, I].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As ours.
    Same,
    /// [I, O]: GPT-2's Conv1D.
    Transposed,
    /// Ours are all queries, all keys, all values of so many heads; theirs, head by head, its query, key and value.
    ByHead(usize),
}

impl TensorMap {
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

/// What Hugging Face calls the only tensor of a part.
pub(crate) fn tensor_name(config: &Config, part: Part) -> String {
    let (_, name, _) = of(config).tensors.iter().find(|row| row.0 == part).expect("every architecture has it");
    format!("{name}.weight")
}

/// Every tensor of the Hugging Face form of this model; those of one parameter stand together.
pub fn tensor_maps(net: &Transformer) -> Vec<TensorMap> {
    let mut maps = Vec::new();
    // The table has what stands before the blocks, what each block has, and what stands after them.
    for rows in of(&net.config).tensors.chunk_by(|a, b| a.1.contains("{}") == b.1.contains("{}")) {
        let layers = if rows[0].1.contains("{}") { net.config.layers } else { 1 };
        for layer in 0..layers {
            let parts = rows.iter().filter_map(|&(part, name, _)| Some((part, name, find(net, part, layer)?)));
            let parts: Vec<_> = parts.collect();
            for parts in parts.chunk_by(|a, b| a.2.weight == b.2.weight) {
                maps.extend(weights_and_biases(net, layer, parts));
            }
        }
    }
    if let Head::Score(score) = net.head {
        maps.push(TensorMap { name: "score.weight".into(), param: score.weight, rows: 0..1, layout: Layout::Same });
    }
    maps
}

/// Parts of one parameter: the weights of all, then their biases.
fn weights_and_biases(net: &Transformer, layer: usize, parts: &[(Part, &str, Slot)]) -> Vec<TensorMap> {
    let name = |name: &str, end: &str| format!("{}.{end}", name.replace("{}", &layer.to_string()));
    let layout = of(&net.config).layout;
    let weights = parts.iter().map(|(part, tensor, slot)| {
        let layout = layout(*part, &net.config);
        TensorMap { name: name(tensor, "weight"), param: slot.weight, rows: slot.rows.clone(), layout }
    });
    let biases = parts.iter().filter_map(|(part, tensor, slot)| {
        let layout = layout(*part, &net.config);
        let layout = if layout == Layout::Transposed { Layout::Same } else { layout };
        Some(TensorMap { name: name(tensor, "bias"), param: slot.bias?, rows: slot.rows.clone(), layout })
    });
    weights.chain(biases).collect()
}

/// Where a part's numbers are: rows of a parameter, and of its bias if it has one.
struct Slot {
    weight: ParamId,
    bias: Option<ParamId>,
    rows: Range<usize>,
}

/// None where the network has no such part.
fn find(net: &Transformer, part: Part, layer: usize) -> Option<Slot> {
    let Config { vocab, context, channels, intermediate_size: f, heads, .. } = net.config;
    let (q, kv, up) = (heads.q * heads.dim, heads.kv * heads.dim, net.config.up());
    let table = |weight, rows| Slot { weight, bias: None, rows: 0..rows };
    let norm = |norm: Norm| Slot { weight: norm.gain, bias: norm.bias, rows: 0..channels };
    let linear = |linear: Linear, rows| Slot { weight: linear.weight, bias: linear.bias, rows };
    let block = net.blocks.get(layer);
    Some(match part {
        Part::Embedding => table(net.embedding, vocab),
        Part::Positions => match net.position_embedding {
            PositionEmbedding::Learned(positions) => table(positions, context),
            PositionEmbedding::Rotary(_) => return None,
        },
        Part::Norm1 => norm(block?.norm1),
        Part::Qkv => linear(block?.qkv, 0..heads.qkv()),
        Part::Q => linear(block?.qkv, 0..q),
        Part::K => linear(block?.qkv, q..q + kv),
        Part::V => linear(block?.qkv, q + kv..q + 2 * kv),
        Part::QNorm => table(block?.qk_norm?[0], heads.dim),
        Part::KNorm => table(block?.qk_norm?[1], heads.dim),
        Part::Out => linear(block?.out, 0..channels),
        Part::Norm2 => norm(block?.norm2),
        Part::Gate => linear(block?.up, 0..f),
        Part::Up => linear(block?.up, up - f..up),
        Part::Down => linear(block?.down, 0..channels),
        Part::Norm => norm(net.norm),
        Part::Head => match net.head {
            Head::Untied(weight) => table(weight, vocab),
            Head::Tied | Head::Score(_) => return None,
        },
    })
}
