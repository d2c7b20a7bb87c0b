//! A model with its numbers.
use super::config::{Config, HeadKind};
use super::transformer::Transformer;
use autograd::Params;
use kernels::{Device, Rng};

/// Model: a network and its numbers. Clones share both until one of them changes.
#[derive(Clone)]
pub struct Model {
    /// Which parameter is what.
    pub net: Transformer,
    /// The numbers that learn, and those that they stand on.
    pub params: Params,
}

impl Model {
    /// A fresh model: every matrix N(0, 0.02²), those that write into the residual stream divided by √(2L), so that the
    /// stream does not grow with depth (Radford et al. 2019, section 2.3).
    pub fn new(config: &Config, head: HeadKind, rng: Rng, device: &Device) -> Model {
        let (net, builder) = Transformer::declare(config, head, Some(rng));
        Model { net, params: builder.build(device) }
    }

    /// What it is made of.
    pub fn config(&self) -> &Config {
        &self.net.config
    }

    /// Does it say the next token, or a score?
    pub fn head(&self) -> HeadKind {
        self.net.head_kind()
    }
}
