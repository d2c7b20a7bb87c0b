//! One transformer that is GPT-2, Llama, Mistral, Qwen2, Qwen3 or GPT-NeoX (Pythia) by its config.
//!
//! ```text
//! tokens [N] → embedding [N, C] → L blocks, each  x + attend(norm(x)), then  x + mlp(norm(x)) → norm → [N, C]
//! ```
//! |           | GPT-2              | Llama                    | as Llama, but               | GPT-NeoX                |
//! |-----------|--------------------|--------------------------|-----------------------------|-------------------------|
//! | norm      | layer norm         | RMS norm                 | Qwen3: of q and k heads too | layer norm              |
//! | positions | learned, added     | rotary: turn q and k     |                             | rotary, a part of each  |
//! | MLP       | down(gelu(up(x)))  | down(silu(gate(x))·up(x))|                             | down(gelu(up(x)))       |
//! | gelu      | by tanh            |                          |                             | by erf                  |
//! | biases    | everywhere         | nowhere                  | Qwen2: of q, k and v        | everywhere              |
//! | heads     | a k and v for each | H queries share G        |                             | a k and v for each      |
//! | sees      | all before it      | all before it            | Mistral: through a window   | all before it           |
//! | blocks    | attention, then MLP| attention, then MLP      |                             | both of the same input  |
//!
//! The [`Config`] says which of these a model has (in code, the same table is `Config::new`); nothing here asks whose
//! it is. The model holds no numbers, only which parameter is what: the numbers come in as `Weights`, frozen or
//! watched. Queries, keys and values are one matrix; so are gate and up.
use crate::files::lora::Lora;
use crate::net::config::{Activation, Config, HeadKind, NormKind};
use crate::net::heads::Head;
use crate::net::rope::Rope;
use autograd::{Init, ParamId, Params, ParamsBuilder, Var, Weights, checkpoint, ops};
use kernels::{Device, Heads, Ids, Rng, Segments, Tensor, rope_table};
use std::sync::{Arc, Mutex};

/// Residual dropout: the probability, and a generator that must be another one at every step.
pub type Dropout = Option<(f32, Rng)>;

#[derive(Clone)]
pub struct Transformer {
    pub config: Config,
    /// Keep only the input of each block, and run the block again on the way back.
    pub gradient_checkpointing: bool,
    /// Adapters that learn in place of the model; they act inside of `Weights::linear`.
    pub lora: Option<Lora>,
    pub(crate) embedding: ParamId,
    pub(crate) positions: Positions,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    pub(crate) head: Head,
}

#[derive(Clone)]
pub(crate) enum Positions {
    /// [T, C]
    Learned(ParamId),
    /// cos and sin of every angle, a row [R] for each position asked for so far, on the device that asked last.
    Rotary(Rope, Arc<Mutex<Option<Tensor>>>),
}

#[derive(Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) gain: ParamId,
    pub(crate) bias: Option<ParamId>,
    eps: f32,
}

impl Norm {
    fn forward(&self, w: &Weights, x: &Var) -> Var {
        match self.bias {
            Some(bias) => ops::layer_norm(x, &w[self.gain], &w[bias], self.eps),
            None => ops::rms_norm(x, &w[self.gain], self.eps),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Linear {
    /// [O, I]
    pub(crate) weight: ParamId,
    pub(crate) bias: Option<ParamId>,
}

impl Linear {
    /// [N, I] → [N, O]
    pub(crate) fn forward(&self, w: &Weights, x: &Var) -> Var {
        w.linear(x, self.weight, self.bias)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Block {
    pub(crate) norm1: Norm,
    /// C → (H + 2G)·D
    pub(crate) qkv: Linear,
    /// Gains [D] of the norms of query heads and of key heads.
    pub(crate) qk_norm: Option<[ParamId; 2]>,
    /// H·D → C
    pub(crate) out: Linear,
    pub(crate) norm2: Norm,
    /// C → F; SwiGLU: C → 2F, gate and up side by side
    pub(crate) up: Linear,
    /// F → C
    pub(crate) down: Linear,
    activation: Activation,
    parallel_residual: bool,
}

/// Where in the model a pass through the blocks is: what all blocks of one pass share.
#[derive(Clone)]
struct Place {
    positions: Ids,
    /// Of a rotary model.
    table: Option<Tensor>,
    heads: Heads,
}

impl Block {
    /// Attention, then a small network, each added to the stream it read from.  [N, C] → [N, C]
    ///
    /// `attend` is attention itself, [N, (H + 2G)·D] → [N, H·D]: over the batch, or over a cache.
    fn forward(&self, w: &Weights, x: &Var, place: &Place, dropout: Dropout, attend: impl FnOnce(&Var) -> Var) -> Var {
        let qkv = self.qkv.forward(w, &self.norm1.forward(w, x));
        let qkv = match self.qk_norm {
            Some([q, k]) => ops::qk_norm(&qkv, &w[q], &w[k], place.heads, self.norm1.eps),
            None => qkv,
        };
        let qkv = match &place.table {
            Some(table) => ops::rope(&qkv, table, &place.positions, place.heads),
            None => qkv,
        };
        let attended = x + &dropped(self.out.forward(w, &attend(&qkv)), dropout, 0);
        let read = if self.parallel_residual { x } else { &attended };
        &attended + &dropped(self.mlp(w, &self.norm2.forward(w, read)), dropout, 1)
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
fn dropped(x: Var, dropout: Dropout, branch: u64) -> Var {
    match dropout {
        Some((p, rng)) if p > 0.0 => ops::dropout(&x, p, rng.fold(branch)),
        _ => x,
    }
}

impl Transformer {
    /// A fresh model: every matrix N(0, 0.02²), those that write into the residual stream divided by √(2L),
    /// so that the stream does not grow with depth (Radford et al. 2019, section 2.3).
    pub fn new(config: &Config, head: HeadKind, rng: Rng, device: &Device) -> (Transformer, Params) {
        let (model, builder) = Transformer::lay_out(config, head, Some(rng));
        (model, builder.build(device))
    }

    /// Which parameters there are. Without a generator all of them start at zero, for loading into.
    pub(crate) fn lay_out(config: &Config, head: HeadKind, rng: Option<Rng>) -> (Transformer, ParamsBuilder) {
        let mut names = Names { builder: ParamsBuilder::default(), rng };
        let (c, f, heads, biases) = (config.channels, config.intermediate_size, config.heads, config.biases);
        let residual = 0.02 / (2.0 * config.layers as f32).sqrt();
        let embedding = names.matrix("embedding", [config.vocab, c], 0.02);
        let positions = match config.rope {
            None => Positions::Learned(names.matrix("positions", [config.context, c], 0.02)),
            Some(rope) => Positions::Rotary(rope, Arc::default()),
        };
        let blocks = (0..config.layers).map(|l| {
            let mut norm = |name: &str| names.norm(&format!("blocks.{l}.{name}"), config);
            let (norm1, norm2) = (norm("norm1"), norm("norm2"));
            let mut gain = |name: &str| names.vector(&format!("blocks.{l}.{name}"), heads.dim, Init::Ones);
            let qk_norm = config.qk_norm.then(|| ["q_norm.gain", "k_norm.gain"].map(&mut gain));
            let mut linear =
                |name: &str, size: [usize; 2], std, bias| names.linear(&format!("blocks.{l}.{name}"), size, std, bias);
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
        });
        let blocks = blocks.collect();
        let norm = names.norm("norm", config);
        let head = names.head(config, head);
        let config = config.clone();
        (
            Transformer { config, gradient_checkpointing: false, lora: None, embedding, positions, blocks, norm, head },
            names.builder,
        )
    }

    /// What the model knows at each token, after the last norm.  tokens [N] → [N, C]
    #[track_caller]
    pub fn hidden(&self, w: &Weights, tokens: &Ids, seg: &Segments, dropout: Dropout) -> Var {
        assert_eq!(tokens.len(), seg.tokens(), "hidden: segments for another number of tokens");
        assert!(
            seg.longest() <= self.config.context,
            "hidden: a sequence of {} tokens, the model holds {}",
            seg.longest(),
            self.config.context
        );
        let (heads, seg) = (self.config.heads, &seg.within(self.config.sliding_window));
        let place = self.place(w, seg.positions());
        let mut x = dropped(self.embed(w, tokens, &place), dropout, 0);
        for (l, block) in self.blocks.iter().enumerate() {
            let dropout = dropout.map(|(p, rng)| (p, rng.fold(1 + l as u64)));
            x = match self.gradient_checkpointing && x.is_tracked() {
                false => block.forward(w, &x, &place, dropout, |qkv| ops::attention(qkv, seg, heads)),
                true => {
                    let (block, place, seg) = (*block, place.clone(), seg.clone());
                    checkpoint(w, &x, move |w, x| {
                        block.forward(w, x, &place, dropout, |qkv| ops::attention(qkv, &seg, heads))
                    })
                }
            };
        }
        self.norm.forward(w, &x)
    }

    /// As `hidden`, with attention given from outside: `attend(layer, qkv)`. For one pass over a cache.
    pub(crate) fn hidden_with(
        &self,
        w: &Weights,
        tokens: &Ids,
        positions: &Ids,
        mut attend: impl FnMut(usize, &Var) -> Var,
    ) -> Var {
        let place = self.place(w, positions);
        let mut x = self.embed(w, tokens, &place);
        for (l, block) in self.blocks.iter().enumerate() {
            x = block.forward(w, &x, &place, None, |qkv| attend(l, qkv));
        }
        self.norm.forward(w, &x)
    }

    fn embed(&self, w: &Weights, tokens: &Ids, place: &Place) -> Var {
        let x = w.embed(self.embedding, tokens);
        match self.positions {
            Positions::Learned(table) => &x + &w.embed(table, &place.positions),
            Positions::Rotary(..) => x,
        }
    }

    fn place(&self, w: &Weights, positions: &Ids) -> Place {
        let table = match &self.positions {
            Positions::Learned(_) => None,
            Positions::Rotary(rope, kept) => {
                let needed = positions.host().iter().max().map_or(0, |&last| last as usize + 1);
                let mut kept = kept.lock().expect("no panic while making a table");
                let fits = |t: &Tensor| t.shape()[0] >= needed && t.device() == w.device();
                if !kept.as_ref().is_some_and(fits) {
                    *kept = Some(self.rotary(rope, needed).to(&w.device()));
                }
                kept.clone()
            }
        };
        Place { positions: positions.clone(), table, heads: self.config.heads }
    }

    /// Angles position·frequency for each of the R/2 pairs, as cos and sin; for `needed` positions and some to
    /// come.  [positions, R]
    #[track_caller]
    fn rotary(&self, rope: &Rope, needed: usize) -> Tensor {
        let context = self.config.context;
        assert!(needed <= context, "position {} in a model that holds {context}", needed - 1);
        let positions = needed.next_power_of_two().clamp(64, context.max(64));
        Tensor::new(&[positions, rope.rotary_dim], rope_table(positions, &rope.frequencies()))
    }
}

/// Gives names and first numbers to parameters.
pub(crate) struct Names {
    pub(crate) builder: ParamsBuilder,
    pub(crate) rng: Option<Rng>,
}

impl Names {
    pub(crate) fn matrix(&mut self, name: &str, [o, i]: [usize; 2], std: f32) -> ParamId {
        let init = if self.rng.is_some() { Init::Normal(std) } else { Init::Zeros };
        self.builder.add(name, &[o, i], init, true, self.rng.unwrap_or(Rng::new(0)))
    }

    /// Gains and biases, which do not decay.
    pub(crate) fn vector(&mut self, name: &str, len: usize, init: Init) -> ParamId {
        self.builder.add(name, &[len], init, false, Rng::new(0))
    }

    fn linear(&mut self, name: &str, [o, i]: [usize; 2], std: f32, biased: bool) -> Linear {
        let weight = self.matrix(&format!("{name}.weight"), [o, i], std);
        Linear { weight, bias: biased.then(|| self.vector(&format!("{name}.bias"), o, Init::Zeros)) }
    }

    fn norm(&mut self, name: &str, config: &Config) -> Norm {
        let gain = self.vector(&format!("{name}.gain"), config.channels, Init::Ones);
        let bias = (config.norm == NormKind::Layer)
            .then(|| self.vector(&format!("{name}.bias"), config.channels, Init::Zeros));
        Norm { gain, bias, eps: config.norm_eps }
    }
}
