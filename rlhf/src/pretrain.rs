//! Pretraining: the next token of plain text, every token counts (all but the first of a sequence).

use crate::{
    data::Example,
    lm,
    train::{Learner, Order, Progress, Run, State, TrainError, check_lengths, plan},
};
use autograd::{AdamWConfig, Params, Schedule};
use kernels::Rng;
use model::Transformer;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainConfig {
    /// how often the text is seen; fractions are fine
    pub epochs: f32,
    /// sequences a step
    pub batch: usize,
    /// learning rate at its peak
    pub lr: f32,
    /// steps over which the learning rate rises to its peak
    pub warmup: usize,
    /// the cosine ends at this share of the peak
    pub lr_floor: f32,
    /// pulls on matrices, not on norms and biases
    pub weight_decay: f32,
    /// the gradient is shortened to this norm; 0 leaves it
    pub grad_clip: f32,
    /// tokens a micro-batch; memory, not results, depends on it
    pub token_budget: usize,
}

impl Default for PretrainConfig {
    fn default() -> PretrainConfig {
        PretrainConfig {
            epochs: 1.0,
            batch: 32,
            lr: 1e-3,
            warmup: 20,
            lr_floor: 0.1,
            weight_decay: 0.1,
            grad_clip: 1.0,
            token_budget: 8192,
        }
    }
}

pub fn train(
    model: &Transformer,
    params: Params,
    text: &[Example],
    config: &PretrainConfig,
    rng: Rng,
    run: &mut Run,
) -> Result<Params, TrainError> {
    if text.is_empty() {
        return Err(TrainError::Data("pretraining: there is no text".into()));
    }
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), model)?;
    let (end, total) = plan(text.len(), config.epochs, config.batch)?;
    let schedule = Schedule::Cosine { warmup: config.warmup, floor: config.lr_floor };
    let adam = AdamWConfig { weight_decay: config.weight_decay, ..AdamWConfig::default() };
    let (mut learner, mut progress) = (Learner::new(params, adam, config.grad_clip), Progress::default());
    let mut order = Order::new(rng.stream("order"), text.len());
    run.tell_schedule(total, config.epochs.into(), config.warmup);
    run.restore(State::of(&mut progress, &mut learner))?;

    while progress.step < total {
        let batch: Vec<&Example> =
            order.batch(progress.step, config.batch, end).into_iter().map(|i| &text[i]).collect();
        let loss = lm::accumulate(model, &mut learner, &batch, config.token_budget, 1.0, None);
        let lr = schedule.lr_at(config.lr, progress.step, total);
        let metrics =
            lm::finish_step(&mut learner, &mut progress, lr, &loss, &batch, text.len() as f64 / config.batch as f64)?;
        run.after_step(total, metrics, State::of(&mut progress, &mut learner), |now| {
            lm::loss_now(model, &now.learners[0].1.params, &batch, config.token_budget)
        })?;
    }
    Ok(learner.params)
}

/// A long text as sequences of `context` tokens, each starting with the last token of the one before, so that every
/// token but the very first is predicted once.
pub fn windows(tokens: &[u32], context: usize) -> Vec<Example> {
    assert!(context >= 2, "a window of {context} tokens predicts nothing");
    let starts = (0..tokens.len().saturating_sub(1)).step_by(context - 1);
    starts.map(|start| Example::text(tokens[start..(start + context).min(tokens.len())].to_vec())).collect()
}
