//! Supervised fine-tuning on demonstrations: the loss is on the completion and its end token alone.
//! InstructGPT (appendix C.1): 16 epochs, residual dropout 0.2, cosine to a tenth, no warm-up.
//! The same loop with 2 epochs and a tenth of pretraining text mixed in makes the model from which PPO starts and from
//! which its KL is measured (appendix C.3), the step that nearly every reimplementation leaves out.

use super::groups::{Adapter, Compute, Cosine, Optim, Saving, default_from_attributes};
use crate::{
    data::Example,
    lm,
    range::{count, positive, within},
    train::{Order, Progress, Run, State, TrainError, check_lengths, plan},
};
use autograd::Params;
use clap::Args;
use kernels::Rng;
use model::Transformer;
use serde::Serialize;

/// The defaults are for small models; the paper's values stand beside them.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
#[command(mut_arg("lr", |a| a.default_value("5e-4")))]
pub struct Config {
    /// How often the demonstrations are seen; fractions are fine; the paper: 16
    #[arg(long, aliases = ["num-epochs", "num-train-epochs"], default_value_t = 3.0, value_parser = positive::<f64>(1e6))]
    pub epochs: f64,
    /// Demonstrations a step; the paper: 32
    #[arg(long, alias = "batch-size", default_value_t = 32, value_parser = count(1, 1 << 20))]
    pub batch: usize,
    /// Dropout of the residual stream; the paper: 0.2
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 0.99))]
    pub dropout: f64,
    /// Pretraining rows mixed in, as a share of the batch; the paper: 0.1 for the model from which PPO starts
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 0.99))]
    pub pretrain_mix: f64,
    /// learning rate, warm-up, weight decay, clipping
    #[command(flatten)]
    #[serde(flatten)]
    pub optim: Optim,
    /// where the learning rate ends
    #[command(flatten)]
    #[serde(flatten)]
    pub cosine: Cosine,
    /// LoRA
    #[command(flatten)]
    #[serde(flatten)]
    pub adapter: Adapter,
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

impl Config {
    /// Pretraining sequences beside `batch` demonstrations, so that they are `pretrain_mix` of them all.
    fn mixed_in(&self) -> usize {
        let mix = self.pretrain_mix as f32;
        (self.batch as f32 * mix / (1.0 - mix)).round() as usize
    }
}

/// `text` is only read when `pretrain_mix` is above 0.
pub fn train(
    model: &Transformer,
    params: Params,
    demonstrations: &[Example],
    text: &[Example],
    config: &Config,
    rng: Rng,
    run: &mut Run,
) -> Result<Params, TrainError> {
    if demonstrations.is_empty() {
        return Err(TrainError::Data("SFT: there are no demonstrations".into()));
    }
    let mixed_in = config.mixed_in();
    if mixed_in > 0 && text.is_empty() {
        return Err(TrainError::Data(format!(
            "SFT: pretrain_mix = {} but there is no pretraining text",
            config.pretrain_mix
        )));
    }
    check_lengths("demonstration", demonstrations.iter().map(|e| e.tokens.len()), model)?;
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), model)?;
    let (end, total) = plan(demonstrations.len(), config.epochs as f32, config.batch)?;
    let (budget, dropout) = (config.compute.token_budget, config.dropout as f32);
    let (peak, schedule) = (config.optim.lr as f32, config.cosine.schedule(&config.optim));
    let (mut learner, mut progress) = (config.optim.learner(params, run), Progress::default());
    let mut order = Order::new(rng.stream("order"), demonstrations.len(), run.comm.clone());
    let mut text_order = Order::new(rng.stream("text"), text.len().max(1), run.comm.clone());
    let masks = run.comm.own(rng.stream("dropout"));
    let steps_per_epoch = demonstrations.len() as f64 / config.batch as f64;
    run.tell_schedule(total, config.epochs, config.optim.warmup);
    run.restore(State::of(&mut progress, &mut learner))?;

    while progress.step < total {
        let step = progress.step;
        let mut batch: Vec<&Example> =
            order.batch(step, config.batch, end).into_iter().map(|i| &demonstrations[i]).collect();
        batch.extend(text_order.batch(step, mixed_in, usize::MAX).into_iter().map(|i| &text[i]));

        let dropout = (dropout > 0.0).then(|| (dropout, masks.fold(step as u64)));
        let loss = lm::accumulate(model, &mut learner, &batch, budget, 1.0, dropout);
        let lr = schedule.lr_at(peak, step, total);
        let metrics = lm::finish_step(&mut learner, &mut progress, lr, &loss, &batch, steps_per_epoch)?;
        run.after_step(total, metrics, State::of(&mut progress, &mut learner), |now| {
            lm::loss_now(model, &now.learners[0].1.params, &batch, budget)
        })?;
    }
    Ok(learner.params)
}
