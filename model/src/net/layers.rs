//! Layers that hold no numbers, only which parameter is what; and who declares their parameters.
use super::config::{Config, HeadKind, NormKind};
use autograd::{Init, ParamId, ParamsBuilder, Var, Weights, ops};
use kernels::Rng;

/// Layer norm, or RMS norm where there is no bias.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    pub(crate) gain: ParamId,
    pub(crate) bias: Option<ParamId>,
    pub(crate) eps: f32,
}

impl Norm {
    /// [N, C] → [N, C]
    pub(crate) fn forward(&self, w: &Weights, x: &Var) -> Var {
        match self.bias {
            Some(bias) => ops::layer_norm(x, &w[self.gain], &w[bias], self.eps),
            None => ops::rms_norm(x, &w[self.gain], self.eps),
        }
    }
}

/// Linear layer.
#[derive(Clone, Copy)]
pub(crate) struct Linear {
    /// [O, I]
    pub(crate) weight: ParamId,
    /// [O]
    pub(crate) bias: Option<ParamId>,
}

impl Linear {
    /// [N, I] → [N, O]
    pub(crate) fn forward(&self, w: &Weights, x: &Var) -> Var {
        w.linear(x, self.weight, self.bias)
    }
}

/// Head: what the last hidden state is read by.
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
pub(crate) fn fresh_score(channels: usize) -> f32 {
    1.0 / (channels as f32 + 1.0).sqrt()
}

/// Parameter builder: gives names and first numbers to parameters. Without a generator all matrices start at zero, for
/// loading into.
pub(crate) struct ParameterBuilder {
    pub(crate) params: ParamsBuilder,
    pub(crate) rng: Option<Rng>,
}

impl ParameterBuilder {
    pub(crate) fn matrix(&mut self, name: &str, [o, i]: [usize; 2], std: f32) -> ParamId {
        let init = if self.rng.is_some() { Init::Normal(std) } else { Init::Zeros };
        self.params.add(name, &[o, i], init, true, self.rng.unwrap_or(Rng::new(0)))
    }

    /// Gains and biases, which do not decay.
    pub(crate) fn vector(&mut self, name: &str, len: usize, init: Init) -> ParamId {
        self.params.add(name, &[len], init, false, Rng::new(0))
    }

    pub(crate) fn linear(&mut self, name: &str, [o, i]: [usize; 2], std: f32, biased: bool) -> Linear {
        let weight = self.matrix(&format!("{name}.weight"), [o, i], std);
        Linear { weight, bias: biased.then(|| self.vector(&format!("{name}.bias"), o, Init::Zeros)) }
    }

    pub(crate) fn norm(&mut self, name: &str, config: &Config) -> Norm {
        let gain = self.vector(&format!("{name}.gain"), config.channels, Init::Ones);
        let bias = (config.norm == NormKind::Layer)
            .then(|| self.vector(&format!("{name}.bias"), config.channels, Init::Zeros));
        Norm { gain, bias, eps: config.norm_eps }
    }

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
