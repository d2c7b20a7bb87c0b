//! The same body under another head.
use super::adapter;
use super::config::HeadKind;
use super::layers::{Head, fresh_score};
use super::model::Model;
use super::transformer::Transformer;
use kernels::{Device, Rng};

impl Model {
    /// The same body under a fresh score head, on the same device: how a reward model starts. One that has a score head
    /// already keeps it.
    pub fn as_score(&self, rng: Rng) -> Model {
        if let Some(lora) = &self.net.lora {
            return adapter::as_score(self, lora, rng);
        }
        let (net, builder) = Transformer::declare(&self.net.config, HeadKind::Score, None);
        let from = self.params.to(&Device::Cpu);
        let mut to = builder.build(&Device::Cpu);
        let common: Vec<_> = from.iter().filter_map(|(id, name, _)| Some((id, to.by_name(name)?))).collect();
        for (old, new) in common {
            to.set(new, from.get(old).data());
        }
        let Head::Score(score) = &net.head else { unreachable!("asked for a score head") };
        if self.head() == HeadKind::Lm {
            let c = self.net.config.channels;
            let fresh = kernels::normal(rng.stream("score"), &from.device(), &[c], fresh_score(c));
            to.set(score.weight, fresh.data());
        }
        let net = Transformer { gradient_checkpointing: self.net.gradient_checkpointing, ..net };
        Model { net, params: to.multiply_in(self.params.precision()).to(&self.params.device()) }
    }
}
