//! One transformer that is GPT-2, Llama, Mistral, Qwen2, Qwen3 or GPT-NeoX (Pythia) by its config.
//!
//! ```text
//! tokens [N] → embedding [N, C] → L blocks, each  x = x + attn(norm(x)); x = x + mlp(norm(x)) → norm → [N, C]
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
//! The [`Config`] says which of these a model has (`model/src/arch` is this table in code, a file for each); nothing here
//! asks whose it is. The model holds no numbers, only which parameter is what: the numbers come in as [`Weights`], frozen
//! or watched. Queries, keys and values are one matrix; so are gate and up.
use super::block::{Block, Dropout, Positions, dropped};
use super::config::{Config, HeadKind, Lora};
use super::layers::{Head, Norm, ParameterBuilder};
use super::rope::RopeCache;
use crate::error::{ModelError, Result};
use autograd::{ParamId, ParamsBuilder, Var, Weights, checkpoint, ops};
use kernels::{Ids, Rng, Segments};

/// Decoder-only transformer: which parameter is what.
#[derive(Clone)]
pub struct Transformer {
    /// What it is made of.
    pub config: Config,
    /// Gradient checkpointing: keep only the input of each block, and run the block again on the way back.
    pub gradient_checkpointing: bool,
    /// Adapters that learn in place of the model; they act inside of `Weights::linear`.
    pub lora: Option<Lora>,
    /// [V, C]
    pub(crate) embedding: ParamId,
    pub(crate) position_embedding: PositionEmbedding,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm: Norm,
    pub(crate) head: Head,
}

/// Position embedding: how a model knows where a token stands.
#[derive(Clone)]
pub(crate) enum PositionEmbedding {
    /// A vector for each position, added to the token's.  [T, C]
    Learned(ParamId),
    /// Queries and keys are turned.
    Rotary(RopeCache),
}

impl Transformer {
    /// Declares the parameters: with a generator every matrix is N(0, 0.02²), those that write into the residual stream
    /// divided by √(2L), so that the stream does not grow with depth (Radford et al. 2019, section 2.3). Without one
    /// all of them start at zero, for loading into.
    pub(crate) fn declare(config: &Config, head: HeadKind, rng: Option<Rng>) -> (Transformer, ParamsBuilder) {
        let mut builder = ParameterBuilder { params: ParamsBuilder::default(), rng };
        let net = Transformer {
            config: config.clone(),
            gradient_checkpointing: false,
            lora: None,
            embedding: builder.matrix("embedding", [config.vocab, config.channels], 0.02),
            position_embedding: match config.rope {
                None => {
                    PositionEmbedding::Learned(builder.matrix("positions", [config.context, config.channels], 0.02))
                }
                Some(rope) => PositionEmbedding::Rotary(RopeCache::new(rope, config.context)),
            },
            blocks: (0..config.layers).map(|l| Block::declare(&mut builder, l, config)).collect(),
            norm: builder.norm("norm", config),
            head: builder.head(config, head),
        };
        (net, builder.params)
    }

    /// Has each of these tokens a row of the embedding? `index` is what the error calls the sequence.
    pub(super) fn check_tokens(&self, sequence: &[u32], index: usize) -> Result<()> {
        let vocab = self.config.vocab;
        match sequence.iter().find(|&&id| id as usize >= vocab) {
            None => Ok(()),
            Some(id) => {
                let problem = format!("sequence {index} has token {id}, the vocabulary has {vocab}");
                Err(ModelError::request(problem, "Encode the text with the tokenizer of this model."))
            }
        }
    }

    /// Hidden states: what the model knows at each token, after the last norm.  tokens `[N]` → `[N, C]`
    ///
    /// # Panics
    /// Where `seg` is of another number of tokens, or a sequence is longer than the context.
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
        let positions = self.positions(w, seg.positions());
        let mut x = dropped(self.embed(w, tokens, &positions), dropout, 0);
        for (l, block) in self.blocks.iter().enumerate() {
            let dropout = dropout.map(|(p, rng)| (p, rng.fold(1 + l as u64)));
            x = match self.gradient_checkpointing && x.is_tracked() {
                false => block.forward(w, &x, &positions, dropout, |qkv| ops::attention(qkv, seg, heads)),
                true => {
                    let (block, positions, seg) = (*block, positions.clone(), seg.clone());
                    checkpoint(w, &x, move |w, x| {
                        block.forward(w, x, &positions, dropout, |qkv| ops::attention(qkv, &seg, heads))
                    })
                }
            };
        }
        self.norm.forward(w, &x)
    }

    /// As `hidden`, with attention given from outside: `attention(layer, qkv)`. For one pass over a cache.
    #[track_caller]
    pub(crate) fn hidden_with(
        &self,
        w: &Weights,
        tokens: &Ids,
        positions: &Ids,
        mut attention: impl FnMut(usize, &Var) -> Var,
    ) -> Var {
        let positions = self.positions(w, positions);
        let mut x = self.embed(w, tokens, &positions);
        for (l, block) in self.blocks.iter().enumerate() {
            x = block.forward(w, &x, &positions, None, |qkv| attention(l, qkv));
        }
        self.norm.forward(w, &x)
    }

    fn embed(&self, w: &Weights, tokens: &Ids, positions: &Positions) -> Var {
        let x = w.embed(self.embedding, tokens);
        match self.position_embedding {
            PositionEmbedding::Learned(table) => &x + &w.embed(table, &positions.ids),
            PositionEmbedding::Rotary(_) => x,
        }
    }

    #[track_caller]
    fn positions(&self, w: &Weights, ids: &Ids) -> Positions {
        let rope = match &self.position_embedding {
            PositionEmbedding::Learned(_) => None,
            PositionEmbedding::Rotary(cache) => Some(cache.table(ids, &w.device())),
        };
        Positions { ids: ids.clone(), rope, heads: self.config.heads }
    }

    /// Does it say the next token, or a score?
    pub fn head_kind(&self) -> HeadKind {
        match self.head {
            Head::Tied | Head::Untied(_) => HeadKind::Lm,
            Head::Score(_) => HeadKind::Score,
        }
    }

    /// Logits of the token that follows each row.  rows of `hidden` `[R, C]` → `[R, V]`
    ///
    /// # Panics
    /// Where the head is a score.
    #[track_caller]
    pub fn logits(&self, w: &Weights, rows: &Var) -> Var {
        match self.head {
            Head::Tied => w.linear(rows, self.embedding, None),
            Head::Untied(weight) => w.linear(rows, weight, None),
            Head::Score(_) => panic!("logits of a model with a score head"),
        }
    }

    /// Scores: one number for each row.  rows of `hidden` `[R, C]` → `[R]`
    ///
    /// # Panics
    /// Where the head is a language model's.
    #[track_caller]
    pub fn score(&self, w: &Weights, rows: &Var) -> Var {
        let Head::Score(score) = &self.head else { panic!("scores of a language model; see `as_score`") };
        let y = score.forward(w, rows);
        ops::reshape(&y, &[y.value().len()])
    }

    /// Which token of a sequence its score is read at: the last, or, as `transformers` has it, the last that is not the
    /// padding of the config. Where that is the end token, the model was taught before it.
    pub fn scored_at(&self, sequence: &[u32]) -> usize {
        sequence.iter().rposition(|&id| Some(id) != self.config.pad).unwrap_or(0)
    }

    /// Bias `[1]` of the score head: what every score is shifted by. A reward model sets it so that demonstrations score 0
    /// on average.
    pub fn score_bias(&self) -> Option<ParamId> {
        match self.head {
            Head::Score(score) => score.bias,
            _ => None,
        }
    }
}
