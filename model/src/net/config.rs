//! What a model is made of.
use super::rope::Rope;
use crate::json::Object;
use autograd::ParamId;
use kernels::Heads;
use std::ops::Range;

/// What the model says about a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Logits of the next token.
    Lm,
    /// One number a token: a reward or a value.
    Score,
}

/// Normalization of each token's channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// With gain and bias (Ba et al. 2016).
    Layer,
    /// With a gain only (Zhang & Sennrich 2019).
    Rms,
}

/// Activation function of the MLP: what stands between its two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// GELU by the error function (`gelu`).
    GeluErf,
    /// silu(gate)·up: the MLP's first half is twice as wide (Shazeer 2020).
    SwiGlu,
}

/// Biases: which linear layers have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    /// The projections to queries, keys and values.
    pub qkv: bool,
    /// The projection out of attention.
    pub out: bool,
    /// Both layers of the MLP.
    pub mlp: bool,
}

impl Biases {
    /// Every linear layer has one.
    pub const ALL: Biases = Biases { qkv: true, out: true, mlp: true };
    /// No linear layer has one.
    pub const NONE: Biases = Biases { qkv: false, out: false, mlp: false };
}

/// Hyper-parameters of a network: all that its arithmetic depends on, and what its tokens mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Architecture: whose model it is, a name in `ARCHS`, for who reads and writes files. The network computes by the
    /// fields below and does not look at it.
    pub arch: &'static str,
    /// V, the size of the vocabulary: rows of the embedding.
    pub vocab: usize,
    /// T, the longest sequence in tokens.
    pub context: usize,
    /// L, the number of blocks.
    pub layers: usize,
    /// C, numbers of a token's hidden state.
    pub channels: usize,
    /// H query heads, G key/value heads, D numbers a head.
    pub heads: Heads,
    /// F, the width between the two halves of the MLP.
    pub intermediate_size: usize,
    /// Which norm.
    pub norm: NormKind,
    /// What norms add to the variance.
    pub norm_eps: f32,
    /// Rotary positions. None: positions are learned, and added to the embedding.
    pub rope: Option<Rope>,
    /// Of the MLP.
    pub activation: Activation,
    /// Which linear layers have one.
    pub biases: Biases,
    /// Is each query and key head normed (RMS, with gains `[D]`) before it is turned?
    pub qk_norm: bool,
    /// Do attention and MLP read the same input, side by side?
    pub parallel_residual: bool,
    /// How many tokens a token sees, itself included. None: all before it.
    pub sliding_window: Option<usize>,
    /// Does the language-model head use the embedding's weights?
    pub tied: bool,
    /// The token that texts begin with.
    pub bos: Option<u32>,
    /// Any of these ends an answer.
    pub eos_ids: Vec<u32>,
    /// What others fill batches with. We never pad; of a reward model it says where scores are read
    /// ([`Transformer::scored_at`](crate::Transformer::scored_at)).
    pub pad: Option<u32>,
    /// Settings of generation that other programs keep beside the model, temperature and the like: carried along.
    pub generation: Object,
}

impl Config {
    /// Columns of the MLP's first half: F, or 2F where there is a gate.
    pub fn up(&self) -> usize {
        if self.activation == Activation::SwiGlu { 2 * self.intermediate_size } else { self.intermediate_size }
    }

    /// Number of parameters, the fixed ones of a score head included. None if it does not fit an integer.
    pub fn parameters(&self, head: HeadKind) -> Option<usize> {
        let (c, f, up, heads) = (self.channels, self.intermediate_size, self.up(), self.heads);
        let only = |given: bool, size: usize| if given { size } else { 0 };
        let norm = if self.norm == NormKind::Layer { 2 * c } else { c };
        let columns = [heads.qkv(), heads.q.checked_mul(heads.dim)?, up, f];
        let matrices = columns.into_iter().try_fold(0usize, |sum, n| sum.checked_add(n))?.checked_mul(c)?;
        let biases = only(self.biases.qkv, heads.qkv()) + only(self.biases.out, c) + only(self.biases.mlp, up + c);
        let layer = matrices.checked_add(2 * norm + biases + only(self.qk_norm, 2 * heads.dim))?;
        let embed = self.vocab.checked_mul(c)?;
        let learned = self.context.checked_mul(c)?;
        let head = match head {
            HeadKind::Score => c + 1,
            HeadKind::Lm => only(!self.tied, embed),
        };
        let around = [embed, only(self.rope.is_none(), learned), norm, head];
        around.into_iter().try_fold(layer.checked_mul(self.layers)?, |sum, n| sum.checked_add(n))
    }
}

/// Adapters (LoRA) of a network upon a frozen base model: which matrices have one, and of what rank.
#[derive(Clone, Debug)]
pub struct Lora {
    /// What the base model is called, for who saves the adapters: its name on the hub, or its path.
    pub base: String,
    /// r, the inner dimension of each adapter.
    pub rank: usize,
    /// What an adapter adds is scaled by alpha/r.
    pub alpha: f64,
    /// The matrices that have an adapter.
    pub targets: Vec<Target>,
}

/// Target of an adapter: rows of a frozen matrix.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the adapter's parameters are called by: `NAME.lora_A` and `NAME.lora_B`.
    pub name: String,
    /// The frozen matrix `[O, I]`.
    pub weight: ParamId,
    /// Those of its rows.
    pub rows: Range<usize>,
}
