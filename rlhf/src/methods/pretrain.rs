//! Pretraining: the next token of plain text, every token counts (all but the first of a sequence).

use super::groups::{Compute, Cosine, Optim, Saving, default_from_attributes};
use crate::{
    data::Example,
    lm,
    range::{MANY, count},
    train::{Order, Progress, Run, State, TrainError, check_lengths},
};
use autograd::Params;
use clap::Args;
use kernels::Rng;
use model::Transformer;
use serde::Serialize;

/// The defaults are for small models.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
#[command(mut_arg("lr", |a| a.default_value("1e-3")), mut_arg("warmup", |a| a.default_value("20")))]
#[command(mut_arg("weight_decay", |a| a.default_value("0.1")))]
pub struct Config {
    /// Optimizer steps
    #[arg(long, alias = "max-steps", default_value_t = 400, value_parser = count(1, MANY))]
    pub steps: usize,
    /// Sequences of the full context a step
    #[arg(long, alias = "batch-size", default_value_t = 32, value_parser = count(1, 1 << 20))]
    pub batch: usize,
    /// learning rate, warm-up, weight decay, clipping
    #[command(flatten)]
    #[serde(flatten)]
    pub optim: Optim,
    /// where the learning rate ends
    #[command(flatten)]
    #[serde(flatten)]
    pub cosine: Cosine,
    /// precision and memory
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    /// checkpoints
    #[command(flatten)]
    #[serde(flatten)]
    pub saving: Saving,
}

default_from_attributes!(Config);

/// Next-token prediction on sequences of `text`, [`Config::steps`] optimizer steps of [`Config::batch`] sequences.
///
/// # Errors
///
/// There is no text, a sequence does not fit the model, or training diverges.
pub fn train(
    model: &Transformer,
    params: Params,
    text: &[Example],
    config: &Config,
    rng: Rng,
    run: &mut Run,
) -> Result<Params, TrainError> {
    if text.is_empty() {
        return Err(TrainError::Data("pretraining: there is no text".into()));
    }
    if config.steps == 0 || config.batch == 0 {
        return Err(TrainError::Config("pretraining: steps and batch must be at least 1".into()));
    }
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), model)?;
    let (total, budget) = (config.steps, config.compute.token_budget);
    let steps_per_epoch = text.len() as f64 / config.batch as f64;
    let (peak, schedule) = (config.optim.lr as f32, config.cosine.schedule(&config.optim));
    let (mut learner, mut progress) = (config.optim.learner(params, run), Progress::default());
    let mut order = Order::new(rng.stream("order"), text.len(), run.comm.clone());
    run.tell_schedule(total, total as f64 / steps_per_epoch, config.optim.warmup);
    run.restore(State::of(&mut progress, &mut learner))?;

    while progress.step < total {
        let batch: Vec<&Example> =
            order.batch(progress.step, config.batch, usize::MAX).into_iter().map(|i| &text[i]).collect();
        let loss = lm::accumulate(model, &mut learner, &batch, budget, 1.0, None);
        let lr = schedule.lr_at(peak, progress.step, total);
        let metrics = lm::finish_step(&mut learner, &mut progress, lr, &loss, &batch, steps_per_epoch)?;
        run.after_step(total, metrics, State::of(&mut progress, &mut learner), |now| {
            lm::loss_now(model, &now.learners[0].1.params, &batch, budget)
        })?;
    }
    Ok(learner.params)
}
