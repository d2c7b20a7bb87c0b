//! Next-token loss on ragged batches: what pretraining, SFT and the ptx term of PPO share, and how a language
//! model is read (mean loss on a text, log-probability of every token).

use crate::{
    data::{Batch, Example},
    train::{Learner, Progress, TrainError},
};
use autograd::{Params, Var, Weights, ops};
use kernels::{Rng, Tensor, read_all};
use model::{Transformer, score::micro_batches};

/// −scale · Σ_i weight_i · log π(token_i | those before it) → [1].
/// Only rows whose next token counts go through the head.
pub fn loss(model: &Transformer, w: &Weights, batch: &Batch, scale: f32, dropout: Option<(f32, Rng)>) -> Var {
    let hidden = model.hidden(w, &batch.tokens, &batch.seg, dropout); // [N, C]
    let rows = ops::index_select(&hidden, &batch.rows); //                      [R, C]
    let logp = ops::logprob(&model.logits(w, &rows), &batch.targets); // [R]
    let weights: Vec<f32> = batch.weights.iter().map(|weight| -scale * weight).collect();
    ops::dot(&logp, &Tensor::from_slice(&w.device(), &[weights.len()], &weights))
}

/// Adds `times` the gradient of the mean loss per trained token of `examples`, cut into micro-batches of at most
/// `token_budget` tokens. The mean is over all of them, those of other ranks too, so how they are cut changes nothing.
/// Returns each micro-batch's share of `times` · loss, still on the device.
pub fn accumulate(
    model: &Transformer,
    learner: &mut Learner,
    examples: &[&Example],
    token_budget: usize,
    times: f32,
    dropout: Option<(f32, Rng)>,
) -> Vec<Tensor> {
    let examples: Vec<&Example> = examples.iter().copied().filter(|e| weight(e) > 0.0).collect();
    let weight: f32 = examples.iter().map(|e| weight(e)).sum();
    let scale = times / learner.comm.total(weight.into()) as f32;
    let cuts = micro_batches(examples.iter().map(|e| e.tokens.len()), token_budget).into_iter().enumerate();
    cuts.map(|(micro, range)| {
        let batch = Batch::new(&examples[range]);
        let dropout = dropout.map(|(p, rng)| (p, rng.fold(micro as u64)));
        learner.backprop(|w| (loss(model, w, &batch, scale, dropout), ())).0
    })
    .collect()
}

/// How much of an example is trained.
pub fn weight(example: &Example) -> f32 {
    example.weights.iter().sum()
}

/// Sum of scalars that are still on their device: one wait.
pub(crate) fn total(parts: &[Tensor]) -> f64 {
    read_all(&parts.iter().collect::<Vec<_>>()).iter().map(|part| part[0] as f64).sum()
}

/// Mean loss per trained token, in nats, of a model that is not learning.
pub fn evaluate(model: &Transformer, params: &Params, examples: &[Example], token_budget: usize) -> f64 {
    let all: Vec<&Example> = examples.iter().collect();
    loss_now(model, params, &all, token_budget) / examples.iter().map(|e| weight(e) as f64).sum::<f64>()
}

/// The loss of a batch as the numbers are now, summed: what `Run::after_step` looks at.
pub(crate) fn loss_now(model: &Transformer, params: &Params, examples: &[&Example], token_budget: usize) -> f64 {
    let examples: Vec<&Example> = examples.iter().copied().filter(|e| weight(e) > 0.0).collect();
    let w = params.frozen();
    let part = |range| loss(model, &w, &Batch::new(&examples[range]), 1.0, None).value().clone();
    total(
        &micro_batches(examples.iter().map(|e| e.tokens.len()), token_budget).into_iter().map(part).collect::<Vec<_>>(),
    )
}

/// log π(token | those before it) of every token but the first, for each sequence. Temperature 1.
/// The sequences must fit the model; `model::score::logprobs` says so in an error where they may not.
#[track_caller]
pub fn logprobs(model: &Transformer, params: &Params, sequences: &[Vec<u32>], token_budget: usize) -> Vec<Vec<f32>> {
    model::score::logprobs(model, &params.frozen(), sequences, 1.0, token_budget).unwrap_or_else(|e| panic!("{e}"))
}

/// The end of a step of pretraining or SFT: AdamW, the books, and what there is to tell.
pub(crate) fn finish_step(
    learner: &mut Learner,
    progress: &mut Progress,
    lr: f32,
    loss: &[Tensor],
    batch: &[&Example],
    steps_per_epoch: f64,
) -> Result<Vec<(&'static str, f64)>, TrainError> {
    let (norm, loss) = learner.step_and_read(lr, loss);
    let grad_norm = norm.as_ref().map_or(f64::NAN, |&norm| norm as f64);
    progress.count(norm.map(|_| ()))?;
    progress.step += 1;
    progress.tokens += learner.comm.total(batch.iter().map(|e| e.tokens.len() as f64).sum()) as u64;
    Ok(vec![
        ("loss", loss),
        ("learning_rate", lr as f64),
        ("grad_norm", grad_norm),
        ("epoch", progress.step as f64 / steps_per_epoch),
        ("num_tokens", progress.tokens as f64),
        ("skipped", progress.skipped as f64),
    ])
}
