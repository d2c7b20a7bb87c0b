//! What is read off the last hidden state: logits of the next token, or one score.
use crate::net::config::{Config, HeadKind};
use crate::net::transformer::{Linear, Names, Transformer};
use autograd::{Init, ParamId, Params, Var, Weights, ops};
use kernels::{Device, Rng};

#[derive(Clone, Copy)]
pub(crate) enum Head {
    /// The embedding, read the other way: logits = x·embeddingᵀ.
    Tied,
    /// [V, C]
    Untied(ParamId),
    /// [1, C] and a bias [1], which shifts all scores alike.
    Score(Linear),
}

/// Standard deviation of a fresh score head: scores start near N(0, 1) (Stiennon et al. 2020, appendix B).
fn fresh_score(channels: usize) -> f32 {
    1.0 / (channels as f32 + 1.0).sqrt()
}

impl Names {
    pub(crate) fn head(&mut self, config: &Config, head: HeadKind) -> Head {
        let (v, c) = (config.vocab, config.channels);
        match head {
            HeadKind::Lm if config.tied => Head::Tied,
            HeadKind::Lm => Head::Untied(self.matrix("head.weight", [v, c], 0.02)),
            HeadKind::Score => {
                let weight = self.matrix("score.weight", [1, c], fresh_score(c));
                Head::Score(Linear { weight, bias: Some(self.vector("score.bias", 1, Init::Zeros)) })
            }
        }
    }
}

impl Transformer {
    pub fn head_kind(&self) -> HeadKind {
        match self.head {
            Head::Tied | Head::Untied(_) => HeadKind::Lm,
            Head::Score(_) => HeadKind::Score,
        }
    }

    /// Logits of the token that follows each row.  rows of `hidden` [R, C] → [R, V]
    #[track_caller]
    pub fn logits(&self, w: &Weights, rows: &Var) -> Var {
        match self.head {
            Head::Tied => w.linear(rows, self.embedding, None),
            Head::Untied(weight) => w.linear(rows, weight, None),
            Head::Score(_) => panic!("logits of a model with a score head"),
        }
    }

    /// One number for each row.  rows of `hidden` [R, C] → [R]
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

    /// What every score is shifted by. A reward model sets it so that demonstrations score 0 on average.
    pub fn score_bias(&self) -> Option<ParamId> {
        match self.head {
            Head::Score(score) => score.bias,
            _ => None,
        }
    }

    /// The same body under a fresh score head: how a reward model starts.
    pub fn as_score(&self, params: &Params, rng: Rng) -> (Transformer, Params) {
        if let Some(lora) = &self.lora {
            return crate::files::lora::as_score(self, lora, params, rng);
        }
        let (model, builder) = Transformer::lay_out(&self.config, HeadKind::Score, None);
        let device = params.device();
        let from = params.to(&Device::Cpu);
        let mut to = builder.build(&Device::Cpu);
        let common: Vec<_> = from.iter().filter_map(|(id, name, _)| Some((id, to.by_name(name)?))).collect();
        for (old, new) in common {
            to.set(new, from.get(old).data());
        }
        let Head::Score(score) = &model.head else { unreachable!("asked for a score head") };
        if self.head_kind() == HeadKind::Lm {
            let c = self.config.channels;
            let fresh = kernels::normal(rng.stream("score"), &from.device(), &[c], fresh_score(c));
            to.set(score.weight, fresh.data());
        }
        (
            Transformer { gradient_checkpointing: self.gradient_checkpointing, ..model },
            to.multiply_in(params.precision()).to(&device),
        )
    }
}
