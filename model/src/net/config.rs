//! What a model is made of.
use super::rope::Rope;
use kernels::Heads;

/// Whose files a model has: how tensors and keys are called. What it computes stands in [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Radford et al. 2019.
    Gpt2,
    /// Touvron et al. 2023; SmolLM2 and many others.
    Llama,
    /// Jiang et al. 2023.
    Mistral,
    /// Yang et al. 2024.
    Qwen2,
    /// Yang et al. 2025.
    Qwen3,
    /// Black et al. 2022; Pythia.
    GptNeox,
}

impl Arch {
    pub const ALL: [Arch; 6] = [Arch::Gpt2, Arch::Llama, Arch::Mistral, Arch::Qwen2, Arch::Qwen3, Arch::GptNeox];

    /// The `model_type` of config.json, and what the names of their classes begin with.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Arch::Gpt2 => ("gpt2", "GPT2"),
            Arch::Llama => ("llama", "Llama"),
            Arch::Mistral => ("mistral", "Mistral"),
            Arch::Qwen2 => ("qwen2", "Qwen2"),
            Arch::Qwen3 => ("qwen3", "Qwen3"),
            Arch::GptNeox => ("gpt_neox", "GPTNeoX"),
        }
    }

    /// As config.json spells it.
    pub fn name(self) -> &'static str {
        self.names().0
    }
}

/// What the model says about a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// Logits of the next token.
    Lm,
    /// One number a token: a reward or a value.
    Score,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// With gain and bias (Ba et al. 2016).
    Layer,
    /// With a gain only (Zhang & Sennrich 2019).
    Rms,
}

/// What stands between the two halves of the MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU by its tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// GELU by the error function (`gelu`).
    GeluErf,
    /// silu(gate)·up: the MLP's first half is twice as wide (Shazeer 2020).
    SwiGlu,
}

/// Which linear layers have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Biases {
    pub qkv: bool,
    pub out: bool,
    pub mlp: bool,
}

impl Biases {
    pub const ALL: Biases = Biases { qkv: true, out: true, mlp: true };
    pub const NONE: Biases = Biases { qkv: false, out: false, mlp: false };
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub arch: Arch,
    /// V
    pub vocab: usize,
    /// T, the longest sequence.
    pub context: usize,
    /// L
    pub layers: usize,
    /// C
    pub channels: usize,
    pub heads: Heads,
    /// F, the width between the two halves of the MLP.
    pub intermediate_size: usize,
    pub norm: NormKind,
    pub norm_eps: f32,
    /// None: positions are learned, and added to the embedding.
    pub rope: Option<Rope>,
    pub activation: Activation,
    pub biases: Biases,
    /// Is each query and key head normed (RMS, with gains [D]) before it is turned?
    pub qk_norm: bool,
    /// Do attention and MLP read the same input, side by side?
    pub parallel_residual: bool,
    /// How many tokens a token sees, itself included. None: all before it.
    pub sliding_window: Option<usize>,
    /// Does the language-model head use the embedding's weights?
    pub tied: bool,
    pub bos: Option<u32>,
    /// Any of these ends an answer.
    pub eos_ids: Vec<u32>,
    /// What others fill batches with. We never pad; of a reward model it says where scores are read (see `hf.rs`).
    pub pad: Option<u32>,
    /// generation_config.json, of which we know the end tokens: temperature and the like, for others.
    pub generation: serde_json::Map<String, serde_json::Value>,
}

impl Config {
    /// A model of this kind and size, as its authors make it, but with a tied head. GPT: F = 4C; the others:
    /// F = 8C/3 rounded up to a multiple of 32. The one place that says what differs between them; the table in
    /// [`crate::net::transformer`] is this in words.
    pub fn new(
        arch: Arch,
        vocab: usize,
        context: usize,
        layers: usize,
        channels: usize,
        heads: usize,
        kv: usize,
    ) -> Config {
        let gpt = matches!(arch, Arch::Gpt2 | Arch::GptNeox);
        let dim = channels / heads;
        let turned = if arch == Arch::GptNeox { dim / 4 } else { dim };
        Config {
            arch,
            vocab,
            context,
            layers,
            channels,
            heads: Heads { q: heads, kv, dim },
            intermediate_size: if gpt { 4 * channels } else { (8 * channels).div_ceil(3).next_multiple_of(32) },
            norm: if gpt { NormKind::Layer } else { NormKind::Rms },
            norm_eps: 1e-5,
            rope: (arch != Arch::Gpt2).then(|| Rope::new(10_000.0, turned)),
            activation: match arch {
                Arch::Gpt2 => Activation::GeluTanh,
                Arch::GptNeox => Activation::GeluErf,
                _ => Activation::SwiGlu,
            },
            biases: match arch {
                Arch::Gpt2 | Arch::GptNeox => Biases::ALL,
                Arch::Qwen2 => Biases { qkv: true, ..Biases::NONE },
                _ => Biases::NONE,
            },
            qk_norm: arch == Arch::Qwen3,
            parallel_residual: arch == Arch::GptNeox,
            sliding_window: (arch == Arch::Mistral).then_some(4096),
            tied: true,
            bos: None,
            eos_ids: Vec::new(),
            pad: None,
            generation: serde_json::Map::new(),
        }
    }

    pub fn gpt2(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize) -> Config {
        Config::new(Arch::Gpt2, vocab, context, layers, channels, heads, heads)
    }

    pub fn llama(vocab: usize, context: usize, layers: usize, channels: usize, heads: usize, kv: usize) -> Config {
        Config::new(Arch::Llama, vocab, context, layers, channels, heads, kv)
    }

    /// Columns of the MLP's first half.
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
