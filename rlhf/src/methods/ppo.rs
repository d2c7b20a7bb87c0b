//! PPO as InstructGPT has it (§3.5, appendix C.4), and PPO-ptx: a prompt is a whole game of which the answer's tokens are
//! the moves; the reward model's score comes with the last one, and every token pays for straying from the reference.
//!
//! One iteration: `collect` (answers, log-probabilities, values, scores) → `advantages` → `update` (minibatches).
//! Policy and value are separate networks with optimizers of their own, so the usual value coefficient, which Adam would
//! divide out again, does not exist here; the value network starts as the reward model.

pub mod advantage;
pub mod check;
pub mod loss;
mod update;

use super::{
    groups::{Adapter, Compute, Optim, Sampling, Saving, default_from_attributes},
    rm,
};
use crate::{
    data::Example,
    lm,
    metrics::Average,
    range::{MANY, count, positive, rate, within},
    rollout::{Actors, Episode, Rollout, RolloutConfig, collect},
    stats,
    train::{Learner, Order, Progress, Run, State, TrainError, check_lengths},
};
use advantage::{KlControl, gae, token_rewards, whiten};
use autograd::{AdamWConfig, Params, Schedule};
use clap::Args;
use kernels::Rng;
use model::Transformer;
use serde::Serialize;
use std::time::Instant;
use update::Update;

/// The defaults are for small models; the paper's values stand beside them.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
#[command(mut_arg("lr", |a| a.help("Peak learning rate of the policy; the paper swept 2.55e-6 … 2.55e-5")))]
#[command(mut_arg("warmup", |a| a.default_value("10").help("Iterations of linear warm-up, from a tenth of the peak")))]
#[command(mut_arg("max_grad_norm", |a| a.help("Gradients are shortened to this norm; 0 leaves them")))]
#[command(mut_arg("save_every", |a| a.default_value("10").help("A checkpoint every so many iterations")))]
pub struct Config {
    /// Answers to sample in all; the paper: 256,000
    #[arg(long, default_value_t = 8_000, value_parser = count(1, MANY))]
    pub episodes: usize,
    /// Answers an iteration; the paper: 512
    #[arg(long, default_value_t = 128, value_parser = count(1, 1 << 20))]
    pub batch: usize,
    /// Answers an optimizer step; the paper: 64
    #[arg(long, default_value_t = 32, value_parser = count(1, 1 << 20))]
    pub minibatch: usize,
    /// Passes over the answers of an iteration; the paper: 1, TRL's habit: 4
    #[arg(long, default_value_t = 1, value_parser = count(1, 10_000))]
    pub epochs: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub optim: Optim,
    /// Learning rate of the value network; the paper: 9e-6
    #[arg(long, default_value_t = 3e-4, value_parser = rate::<f64>())]
    pub value_lr: f64,
    /// ε of Adam
    #[arg(long, default_value_t = 1e-5, value_parser = positive::<f64>(1.0))]
    pub adam_eps: f64,
    /// Clip of the probability ratio (ε); the paper: 0.2
    #[arg(long, default_value_t = 0.2, value_parser = positive::<f64>(1e6))]
    pub clip: f64,
    /// Clip of the value function
    #[arg(long, default_value_t = 0.2, value_parser = positive::<f64>(1e6))]
    pub value_clip: f64,
    /// Discount; the paper has none
    #[arg(long, default_value_t = 1.0, value_parser = within::<f64>(0.0, 1.0))]
    pub gamma: f64,
    /// λ of generalised advantage estimation
    #[arg(long, default_value_t = 0.95, value_parser = within::<f64>(0.0, 1.0))]
    pub lambda: f64,
    /// β: what a nat of KL from the reference costs; the paper: 0.02
    #[arg(long, default_value_t = 0.02, value_parser = within::<f64>(0.0, 1e6))]
    pub kl_coef: f64,
    /// Steer β so that the KL of an answer stays near this; 0 = β is fixed
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 1e6))]
    pub kl_target: f64,
    /// Episodes that a steered β takes
    #[arg(long, default_value_t = 10_000.0, value_parser = positive::<f64>(1e12))]
    pub kl_horizon: f64,
    /// Scale rewards to variance 1 (keeping their mean) before the advantages
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub whiten_rewards: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Taken from the score of an answer that does not end by itself
    #[arg(long, alias = "missing-end-penalty", default_value_t = 1.0, value_parser = within::<f64>(0.0, 1e6))]
    pub missing_eos_penalty: f64,
    /// Scores are clipped to ± this; 0 leaves them
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 1e6))]
    pub score_clip: f64,
    /// The averaged weights, which are what is kept, keep this share of themselves a step; the paper: 0.992
    #[arg(long, default_value_t = 0.992, value_parser = within::<f64>(0.0, 0.9999))]
    pub ema: f64,
    /// γ of PPO-ptx: times the pretraining gradient. In a recipe it is that of the ppo_ptx stages; ppo has none
    // of a mean per token; the paper's 27.8 belongs to its own normalisation: sweep, do not copy
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 1e6))]
    pub ptx_coef: f64,
    /// Pretraining sequences for each answer; the paper: 8
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f64>(1000.0))]
    pub ptx_ratio: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub adapter: Adapter,
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    #[command(flatten)]
    #[serde(flatten)]
    pub saving: Saving,
}

default_from_attributes!(Config);

/// Who takes part. All share one vocabulary; sizes may differ.
pub struct Ppo<'a> {
    pub policy: &'a Transformer,
    /// where the policy starts
    pub policy_params: Params,
    pub reference: (&'a Transformer, &'a Params),
    pub value: &'a Transformer,
    /// where the value network starts: the reward model's weights, its score head included
    pub value_params: Params,
    /// scores whole answers: a reward model, or any function
    pub reward: &'a dyn Fn(&[Episode]) -> Vec<f32>,
    /// tokens that end an answer
    pub eos: &'a [u32],
}

pub struct PpoOutcome {
    /// the last weights; what sampling used
    pub policy: Params,
    /// their moving average; what evaluation uses
    pub ema: Params,
    pub value: Params,
}

/// What moves during training, and all of it: this is what a checkpoint holds.
struct Moving {
    progress: Progress,
    policy: Learner,
    value: Learner,
    ema: Params,
    kl_coef: f64,
}

impl Moving {
    fn state(&mut self) -> State<'_> {
        State {
            progress: &mut self.progress,
            learners: vec![("policy", &mut self.policy), ("value", &mut self.value)],
            params: vec![("ema", &mut self.ema)],
            numbers: vec![("kl_coef", &mut self.kl_coef)],
        }
    }
}

/// `text` is read when `ptx_coef` is above 0.
pub fn train(
    ppo: Ppo,
    prompts: &[Vec<u32>],
    text: &[Example],
    config: &Config,
    rng: Rng,
    run: &mut Run,
) -> Result<PpoOutcome, TrainError> {
    check_input(&ppo, prompts, text, config)?;
    let adam = AdamWConfig { eps: config.adam_eps as f32, ..config.optim.adam() };
    let learner = |params: &Params| Learner::new(params.clone(), adam, config.optim.max_grad_norm as f32);
    let mut moving = Moving {
        progress: Progress::default(),
        ema: ppo.policy_params.clone(),
        policy: learner(&ppo.policy_params),
        value: learner(&ppo.value_params),
        kl_coef: f64::from(config.kl_coef as f32),
    };
    let iterations = config.episodes.div_ceil(config.batch);
    run.tell_schedule(iterations, 0.0, config.optim.warmup);
    run.restore(moving.state())?;

    let schedule = Schedule::Constant { warmup: config.optim.warmup };
    let mut prompt_order = Order::new(rng.stream("prompts"), prompts.len());
    let mut text_order = Order::new(rng.stream("text"), text.len().max(1));
    let mut unchecked = true;

    while moving.progress.step < iterations {
        let iteration = moving.progress.step;
        let started = Instant::now();
        let asked = prompt_order
            .batch(iteration, config.batch, config.episodes)
            .into_iter()
            .map(|i| prompts[i].clone())
            .collect();
        let rollout =
            collect(&ppo.actors(&moving), asked, &config.rollout(), rng.stream("sample").fold(iteration as u64))
                .map_err(|e| e.at(iteration + 1))?;
        let goals = Goals::of(&rollout, moving.kl_coef as f32, config);
        let sampled = started.elapsed().as_secs_f64();

        let lr = |peak: f64| schedule.lr_at(peak as f32, iteration, iterations);
        let mut update = Update {
            ppo: &ppo,
            config,
            rollout: &rollout,
            goals: &goals,
            lr: lr(config.optim.lr),
            value_lr: lr(config.value_lr),
            averages: Average::default(),
            unchecked: &mut unchecked,
        };
        update.run(&mut moving, text, &mut text_order, rng.stream("minibatches").fold(iteration as u64))?;
        let averages = update.averages;

        let kl = stats::mean(&rollout.kl(stats::k1));
        let mut metrics = describe(&rollout, &goals, moving.kl_coef);
        moving.kl_coef = config.kl_control().next_coef(moving.kl_coef, kl, rollout.episodes.len());
        moving.progress.step += 1;
        moving.progress.tokens += rollout.logp.len() as u64;
        metrics.extend(averages.means());
        metrics.extend([
            ("lr", lr(config.optim.lr) as f64),
            ("episode", (moving.progress.step * config.batch).min(config.episodes) as f64),
            ("skipped", moving.progress.skipped as f64),
            ("eps", rollout.episodes.len() as f64 / started.elapsed().as_secs_f64()),
            ("time/rollout", sampled),
            ("time/update", started.elapsed().as_secs_f64() - sampled),
        ]);
        run.after_step(iterations, metrics, moving.state(), |now| ppo.look(now, &rollout.episodes, config))?;
    }
    Ok(PpoOutcome { policy: moving.policy.params, ema: moving.ema, value: moving.value.params })
}

fn check_input(ppo: &Ppo, prompts: &[Vec<u32>], text: &[Example], config: &Config) -> Result<(), TrainError> {
    let wrong = |what: &str| Err(TrainError::Data(format!("PPO: {what}")));
    if prompts.is_empty() {
        return wrong("there are no prompts");
    }
    for model in [ppo.policy, ppo.reference.0, ppo.value] {
        let lengths =
            prompts.iter().map(|prompt| prompt.len() + config.sampling.max_new_tokens * (!prompt.is_empty()) as usize);
        check_lengths("prompt with max_new_tokens tokens of answer:", lengths, model)?;
    }
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), ppo.policy)?;
    if config.ptx_coef > 0.0 && text.is_empty() {
        return wrong("ptx_coef is above 0 but there is no pretraining text");
    }
    if config.batch == 0 || config.minibatch == 0 || config.epochs == 0 || config.sampling.max_new_tokens == 0 {
        return wrong("batch, minibatch, epochs and max_new_tokens must be at least 1");
    }
    if config.sampling.temperature <= 0.0 {
        return wrong("temperature must be above 0: PPO learns from chance");
    }
    Ok(())
}

impl Ppo<'_> {
    /// What policy, average and value network make of some answers now: a sum that is finite as long as they are well.
    fn look(&self, now: &State, episodes: &[Episode], config: &Config) -> f64 {
        let some: Vec<Vec<u32>> = episodes.iter().take(config.minibatch).map(Episode::sequence).collect();
        let read = |params: &Params| lm::logprobs(self.policy, params, &some, config.compute.token_budget).concat();
        let policies = [read(&now.learners[0].1.params), read(now.params[0].1)].concat();
        let values = rm::score(self.value, &now.learners[1].1.params, &some, config.compute.token_budget);
        policies.iter().chain(&values).map(|&x| f64::from(x)).sum()
    }

    fn actors<'b>(&'b self, moving: &'b Moving) -> Actors<'b> {
        Actors {
            policy: (self.policy, &moving.policy.params), // sampling uses the raw weights, not the average
            reference: self.reference,
            value: (self.value, &moving.value.params),
            reward: self.reward,
            eos: self.eos,
        }
    }
}

impl Config {
    fn kl_control(&self) -> KlControl {
        match self.kl_target {
            0.0 => KlControl::Fixed,
            target => KlControl::Adaptive { target: target as f32, horizon: self.kl_horizon as f32 },
        }
    }

    fn rollout(&self) -> RolloutConfig {
        RolloutConfig {
            temperature: self.sampling.temperature as f32,
            max_new_tokens: self.sampling.max_new_tokens,
            missing_eos_penalty: self.missing_eos_penalty as f32,
            score_clip: self.score_clip as f32,
            token_budget: self.compute.token_budget,
            generate_batch: self.sampling.generate_batch,
        }
    }
}

/// What the update aims at. Both [T].
struct Goals {
    /// whitened
    advantages: Vec<f32>,
    returns: Vec<f32>,
}

impl Goals {
    fn of(rollout: &Rollout, kl_coef: f32, config: &Config) -> Goals {
        let mut rewards = token_rewards(&rollout.spans, &rollout.logp, &rollout.ref_logp, &rollout.scores, kl_coef);
        if config.whiten_rewards {
            rewards = whiten(&rewards, false);
        }
        let advantages = gae(&rollout.spans, &rewards, &rollout.values, config.gamma as f32, config.lambda as f32);
        let returns = advantages.iter().zip(&rollout.values).map(|(a, v)| a + v).collect();
        Goals { advantages: whiten(&advantages, true), returns }
    }
}

fn describe(rollout: &Rollout, goals: &Goals, kl_coef: f64) -> Vec<(&'static str, f64)> {
    let wide = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<f64>>();
    let answers = rollout.episodes.len() as f64;
    let (kl, scores) = (stats::mean(&rollout.kl(stats::k1)), wide(&rollout.scores));
    let ended = rollout.episodes.iter().filter(|e| e.ended).count() as f64;
    vec![
        ("objective/kl", kl),
        ("objective/kl_k3", stats::mean(&rollout.kl(stats::k3))),
        ("objective/entropy", -wide(&rollout.logp).iter().sum::<f64>() / answers),
        ("objective/non_score_reward", -kl_coef * kl),
        ("objective/scores", stats::mean(&scores)),
        ("objective/scores_std", stats::std(&scores)),
        ("objective/rlhf_reward", stats::mean(&scores) - kl_coef * kl),
        ("objective/kl_coef", kl_coef),
        ("val/explained_variance", stats::explained_variance(&wide(&rollout.values), &wide(&goals.returns))),
        ("val/num_eos_tokens", ended),
        ("val/eos_rate", ended / answers),
        ("val/length", rollout.logp.len() as f64 / answers),
    ]
}
