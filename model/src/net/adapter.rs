//! LoRA (Hu et al. 2021): y = x Wᵀ + b + (alpha/r)·(x Aᵀ) Bᵀ with W frozen, in bf16, and A and B learning.
//!
//! The network is that of the frozen model, its ids too; what learns are `Params` on its [`BaseWeights`].
use super::config::{HeadKind, Lora, Target};
use super::layers::{Head, ParameterBuilder};
use super::model::Model;
use super::transformer::Transformer;
use autograd::{BaseWeights, ParamsBuilder};
use kernels::{Device, Rng};
use std::sync::Arc;

/// Fresh adapters on a frozen model, which change nothing before they learn, and where `head` is a score a head that
/// learns too, starting from the frozen model's if it has one.
pub(crate) fn attach(net: &Transformer, base: &Arc<BaseWeights>, lora: Lora, head: HeadKind, rng: Rng) -> Model {
    let mut builder = ParameterBuilder { params: ParamsBuilder::on(base), rng: Some(rng) };
    let scale = (lora.alpha / lora.rank as f64) as f32;
    for Target { name, weight, rows } in &lora.targets {
        builder.params.adapter(name, *weight, rows.clone(), lora.rank, scale, rng);
    }
    let mut attached = net.clone();
    if head == HeadKind::Score {
        attached.head = builder.head(&net.config, head);
    }
    let mut params = builder.params.build(&Device::Cpu);
    if let (HeadKind::Score, None, Head::Score(theirs), Head::Score(ours)) = (head, &net.lora, net.head, attached.head)
    {
        params.set(ours.weight, &base.get(theirs.weight).to_vec());
        let (ours, theirs) = ours.bias.zip(theirs.bias).expect("a score head has a bias");
        params.set(ours, &base.get(theirs).to_vec());
    }
    attached.lora = Some(lora);
    Model { net: attached, params }
}

/// The same adapters under a score head, a fresh one where there was none.
pub(super) fn as_score(model: &Model, lora: &Lora, rng: Rng) -> Model {
    let params = &model.params;
    let Model { net, params: mut to } = attach(&model.net, params.base(), lora.clone(), HeadKind::Score, rng);
    for (id, name, _) in params.iter() {
        let same = to.by_name(name).expect("the same adapters");
        to.set(same, &params.get(id).to_vec());
    }
    Model { net, params: to.multiply_in(params.precision()).to(&params.device()) }
}

/// One model without adapters that computes the same: W + (alpha/r)·B·A everywhere, in f32, on the CPU.
pub fn merge(model: &Model) -> Model {
    let (net, builder) = Transformer::declare(&model.net.config, model.net.head_kind(), None);
    let (params, mut merged) = (&model.params, builder.build(&Device::Cpu));
    let find = |name: &str| params.by_name(name).or_else(|| params.base().by_name(name)).expect("the same network");
    let pairs: Vec<_> = merged.iter().map(|(to, name, _)| (find(name), to)).collect();
    for (from, to) in pairs {
        merged.set(to, params.merged(from).data());
    }
    Model { net, params: merged }
}
