//! A transformer block: attention, then an MLP, each added to the residual stream that it read.
use super::config::{Activation, Config};
use super::layers::{Linear, Norm, ParameterBuilder};
use autograd::{Init, ParamId, Var, Weights, ops};
use kernels::{Heads, Ids, Rng, Tensor};

/// Dropout of the residual stream: the probability, and a generator that must be another one at every step.
pub type Dropout = Option<(f32, Rng)>;

#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) norm1: Norm,
    /// C → (H + 2G)·D: queries, keys and values side by side.
    pub(crate) qkv: Linear,
    /// Gains [D] of the norms of query heads and of key heads.
    pub(crate) qk_norm: Option<[ParamId; 2]>,
    /// H·D → C
    pub(crate) out: Linear,
    pub(crate) norm2: Norm,
    /// C → F; SwiGLU: C → 2F, gate and up side by side.
    pub(crate) up: Linear,
    /// F → C
    pub(crate) down: Linear,
    activation: Activation,
    parallel_residual: bool,
}

/// Positions of the tokens [N] of one pass, and the rows of the rope cache for them: what all its blocks share.
#[derive(Clone)]
pub(crate) struct Positions {
    pub(crate) ids: Ids,
    /// Of a rotary model.
    pub(crate) rope: Option<Tensor>,
    pub(crate) heads: Heads,
}

impl Block {
    /// The `l`-th block's parameters.
    pub(crate) fn declare(builder: &mut ParameterBuilder, l: usize, config: &Config) -> Block {
        let (c, f, heads, biases) = (config.channels, config.intermediate_size, config.heads, config.biases);
        let residual = 0.02 / (2.0 * config.layers as f32).sqrt();
        let mut norm = |name: &str| builder.norm(&format!("blocks.{l}.{name}"), config);
        let (norm1, norm2) = (norm("norm1"), norm("norm2"));
        let mut gain = |name: &str| builder.vector(&format!("blocks.{l}.{name}"), heads.dim, Init::Ones);
        let qk_norm = config.qk_norm.then(|| ["q_norm.gain", "k_norm.gain"].map(&mut gain));
        let mut linear =
            |name: &str, size: [usize; 2], std, bias| builder.linear(&format!("blocks.{l}.{name}"), size, std, bias);
        Block {
            norm1,
            qkv: linear("qkv", [heads.qkv(), c], 0.02, biases.qkv),
            qk_norm,
            out: linear("out", [c, heads.q * heads.dim], residual, biases.out),
            norm2,
            up: linear("up", [config.up(), c], 0.02, biases.mlp),
            down: linear("down", [c, f], residual, biases.mlp),
            activation: config.activation,
            parallel_residual: config.parallel_residual,
        }
    }

    /// [N, C] → [N, C]. `attention` mixes tokens, [N, (H + 2G)·D] → [N, H·D]: over the batch, or over a cache.
    pub(crate) fn forward(
        &self,
        w: &Weights,
        x: &Var,
        positions: &Positions,
        dropout: Dropout,
        attention: impl FnOnce(&Var) -> Var,
    ) -> Var {
        let attn = |x: &Var| dropped(self.attn(w, &self.norm1.forward(w, x), positions, attention), dropout, 0);
        let mlp = |x: &Var| dropped(self.mlp(w, &self.norm2.forward(w, x)), dropout, 1);
        if self.parallel_residual {
            return &(x + &attn(x)) + &mlp(x);
        }
        let x = &(x + &attn(x));
        x + &mlp(x)
    }

    /// Queries, keys and values of each token; q and k normed and turned; each head's mixture of values.
    fn attn(&self, w: &Weights, x: &Var, positions: &Positions, attention: impl FnOnce(&Var) -> Var) -> Var {
        let heads = positions.heads;
        let mut qkv = self.qkv.forward(w, x);
        if let Some([q, k]) = self.qk_norm {
            qkv = ops::qk_norm(&qkv, &w[q], &w[k], heads, self.norm1.eps);
        }
        if let Some(rope) = &positions.rope {
            qkv = ops::rope(&qkv, rope, &positions.ids, heads);
        }
        self.out.forward(w, &attention(&qkv))
    }

    fn mlp(&self, w: &Weights, x: &Var) -> Var {
        let up = self.up.forward(w, x);
        let up = match self.activation {
            Activation::GeluTanh => ops::gelu(&up),
            Activation::GeluErf => ops::gelu_erf(&up),
            Activation::SwiGlu => ops::swiglu(&up),
        };
        self.down.forward(w, &up)
    }
}

/// The `branch`-th use of dropout under one generator.
pub(crate) fn dropped(x: Var, dropout: Dropout, branch: u64) -> Var {
    match dropout {
        Some((p, rng)) if p > 0.0 => ops::dropout(&x, p, rng.fold(branch)),
        _ => x,
    }
}
