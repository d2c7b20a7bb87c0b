//! Supervised fine-tuning on demonstrations: the loss is on the answer and its end token alone.
//! InstructGPT (appendix C.1): 16 epochs, residual dropout 0.2, cosine to a tenth, no warm-up.
//! The same loop with 2 epochs and a tenth of pretraining text mixed in makes the model from which PPO starts and from
//! which its KL is measured (appendix C.3), the step that nearly every reimplementation leaves out.

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
pub struct SftConfig {
    /// how often the demonstrations are seen; the paper: 16
    pub epochs: f32,
    /// demonstrations a step; the paper: 32
    pub batch: usize,
    /// learning rate at its peak; the paper's 9.65e-6 is for 1.3 billion parameters, small models want more
    pub lr: f32,
    /// steps over which the learning rate rises to its peak; the paper: 0
    pub warmup: usize,
    /// the cosine ends at this share of the peak; the paper: 0.1
    pub lr_floor: f32,
    /// residual dropout; the paper: 0.2
    pub dropout: f32,
    /// share of the sequences of a step that are pretraining text; 0.1 for the model from which PPO starts
    pub pretrain_mix: f32,
    /// pulls on matrices, not on norms and biases
    pub weight_decay: f32,
    /// the gradient is shortened to this norm; 0 leaves it
    pub grad_clip: f32,
    /// tokens a micro-batch; memory, not results, depends on it (with dropout, its masks do)
    pub token_budget: usize,
}

impl Default for SftConfig {
    fn default() -> SftConfig {
        SftConfig {
            epochs: 16.0,
            batch: 32,
            lr: 9.65e-6,
            warmup: 0,
            lr_floor: 0.1,
            dropout: 0.2,
            pretrain_mix: 0.0,
            weight_decay: 0.0,
            grad_clip: 1.0,
            token_budget: 8192,
        }
    }
}

impl SftConfig {
    /// Pretraining sequences beside `batch` demonstrations, so that they are `pretrain_mix` of them all.
    fn mixed_in(&self) -> usize {
        (self.batch as f32 * self.pretrain_mix / (1.0 - self.pretrain_mix)).round() as usize
    }
}

/// `text` is only read when `pretrain_mix` is above 0.
pub fn train(
    model: &Transformer,
    params: Params,
    demonstrations: &[Example],
    text: &[Example],
    config: &SftConfig,
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
    let (end, total) = plan(demonstrations.len(), config.epochs, config.batch)?;
    let schedule = Schedule::Cosine { warmup: config.warmup, floor: config.lr_floor };
    let adam = AdamWConfig { weight_decay: config.weight_decay, ..AdamWConfig::default() };
    let (mut learner, mut progress) = (Learner::new(params, adam, config.grad_clip), Progress::default());
    let mut order = Order::new(rng.stream("order"), demonstrations.len());
    let mut text_order = Order::new(rng.stream("text"), text.len().max(1));
    let steps_per_epoch = demonstrations.len() as f64 / config.batch as f64;
    run.tell_schedule(total, config.epochs.into(), config.warmup);
    run.restore(State::of(&mut progress, &mut learner))?;

    while progress.step < total {
        let step = progress.step;
        let mut batch: Vec<&Example> =
            order.batch(step, config.batch, end).into_iter().map(|i| &demonstrations[i]).collect();
        batch.extend(text_order.batch(step, mixed_in, usize::MAX).into_iter().map(|i| &text[i]));

        let dropout = (config.dropout > 0.0).then(|| (config.dropout, rng.stream("dropout").fold(step as u64)));
        let loss = lm::accumulate(model, &mut learner, &batch, config.token_budget, 1.0, dropout);
        let lr = schedule.lr_at(config.lr, step, total);
        let metrics = lm::finish_step(&mut learner, &mut progress, lr, &loss, &batch, steps_per_epoch)?;
        run.after_step(total, metrics, State::of(&mut progress, &mut learner), |now| {
            lm::loss_now(model, &now.learners[0].1.params, &batch, config.token_budget)
        })?;
    }
    Ok(learner.params)
}
