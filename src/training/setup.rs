//! How a stage trains a model that is there: all of it, or adapters upon it; in which precision; with which memory.

use crate::error::{Failure, Result};
use autograd::Params;
use kernels::{Device, Precision, Rng};
use model::{BaseModels, Model, Transformer, lora};
use rlhf_core::methods::groups::{Adapter, Compute};
use std::path::Path;

#[derive(Clone, Debug)]
pub struct Setup {
    /// 0: all of the model learns.
    pub rank: usize,
    pub alpha: f64,
    pub targets: String,
    pub gradient_checkpointing: bool,
    pub precision: Precision,
}

impl Setup {
    /// Without `adapter` all of the model learns.
    pub fn of(compute: &Compute, adapter: Option<&Adapter>) -> Setup {
        Setup {
            rank: adapter.map_or(0, |a| a.lora_rank),
            alpha: adapter.map_or(0.0, |a| a.lora_alpha),
            targets: adapter.map_or_else(String::new, |a| a.lora_targets.clone()),
            gradient_checkpointing: compute.gradient_checkpointing,
            precision: compute.precision.into(),
        }
    }

    /// The model of a directory, about to be trained. An adapter that is there already goes on.
    pub fn load(&self, dir: &Path, rng: Rng, device: &Device, bases: &mut BaseModels) -> Result<Model> {
        if self.rank == 0 || lora::is_adapter(dir) {
            let loaded = model::load_sharing(dir, device, bases)?;
            let there = loaded.net.lora.as_ref().map_or(0, |lora| lora.rank);
            if self.rank > 0 && self.rank != there {
                let hint = "leave lora_rank at 0 to go on with it, or merge it first with rlhf merge";
                return Err(Failure::usage(format!("{} is an adapter of rank {there}; {hint}", dir.display())));
            }
            return Ok(self.apply(loaded.net, loaded.params));
        }
        let on = bases.open(dir, device)?;
        lora::check_name(&on).map_err(|e| Failure::usage(e.to_string()))?;
        let modules = lora::modules(&on.net, &self.targets)
            .map_err(|e| Failure::usage(format!("lora_targets = {:?}: {e}", self.targets)))?;
        let model::Model { net, params } =
            lora::attach(&on, self.rank, self.alpha, &modules, on.net.head_kind(), rng.stream("lora"));
        Ok(self.apply(net, params.to(device)))
    }

    pub fn apply(&self, mut net: Transformer, params: Params) -> Model {
        net.gradient_checkpointing = self.gradient_checkpointing;
        Model { net, params: params.multiply_in(self.precision) }
    }
}
