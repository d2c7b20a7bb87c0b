//! A network that learns: parameters, their gradient, AdamW.

use super::{Alone, Comm};
use autograd::{AdamW, AdamWConfig, Grads, Params, Var, Weights};
use kernels::{Device, Tensor};
use std::sync::Arc;

/// A network that learns: its numbers, where their gradient gathers, and the optimizer's memory.
pub struct Learner {
    /// what learns
    pub params: Params,
    grads: Grads,
    pub(super) adam: AdamW,
    clip: Option<f32>,
    pub(crate) comm: Arc<dyn Comm>,
}

impl Learner {
    /// `clip` 0 leaves the gradient as it is.
    pub fn new(params: Params, config: AdamWConfig, clip: f32) -> Learner {
        let (grads, adam) = (params.grads(), AdamW::new(config, &params));
        Learner { params, grads, adam, clip: (clip > 0.0).then_some(clip), comm: Arc::new(Alone) }
    }

    /// As one of several ranks, whose gradients are summed.
    pub fn among(self, comm: &Arc<dyn Comm>) -> Learner {
        Learner { comm: comm.clone(), ..self }
    }

    /// Adds the gradient of the loss [1] that `f` returns; micro-batches of one step come one after the other.
    /// The loss stays on its device: read it back with others, once a step.
    pub fn backprop<S>(&mut self, f: impl FnOnce(&Weights) -> (Var, S)) -> (Tensor, S) {
        self.params.backprop_some(&mut self.grads, |_| true, f)
    }

    /// One step of AdamW on what has gathered, and an empty gradient again. Returns the norm before clipping;
    /// a gradient that is not finite changes neither weights nor moments.
    pub fn step(&mut self, lr: f32) -> Result<f32, String> {
        self.step_and_read(lr, &[]).0
    }

    /// As `step`, and the sum of these losses over all ranks, read back in the same wait for the device.
    pub fn step_and_read(&mut self, lr: f32, losses: &[Tensor]) -> (Result<f32, String>, f64) {
        self.comm.all_reduce_tensor(self.grads.flat_mut());
        let losses: Vec<&Tensor> = losses.iter().collect();
        let (norm, read) = self.adam.step_and_read(&mut self.params, &self.grads, lr, self.clip, &losses);
        self.grads.zero();
        (norm.map_err(|e| e.to_string()), self.comm.total(read.concat().into_iter().map(f64::from).sum()))
    }

    /// Forgets what has gathered.
    pub fn drop_gradient(&mut self) {
        self.grads.zero();
    }

    /// The gradient that has gathered.
    pub fn grads(&self) -> &Grads {
        &self.grads
    }

    /// Where its numbers are.
    pub fn device(&self) -> Device {
        self.params.device()
    }

    /// What a checkpoint keeps of it.
    pub(super) fn tensors(&self, name: &str) -> [(String, Tensor); 3] {
        let (params, adam) = (&self.params, &self.adam);
        [("params", params.flat()), ("adam.m", &adam.m), ("adam.v", &adam.v)]
            .map(|(part, t)| (format!("{name}.{part}"), t.clone()))
    }
}
