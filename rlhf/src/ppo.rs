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

use crate::{
    data::Example,
    lm,
    metrics::Average,
    rm,
    rollout::{Actors, Episode, Rollout, RolloutConfig, collect},
    stats,
    train::{Learner, Order, Progress, Run, State, TrainError, check_lengths},
};
use advantage::{KlControl, gae, token_rewards, whiten};
use autograd::{AdamWConfig, Params, Schedule};
use kernels::Rng;
use model::Transformer;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use update::Update;

/// The defaults are the paper's, learning rates aside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// answers to sample in all; the paper: 256,000
    pub episodes: usize,
    /// answers an iteration; the paper: 512
    pub batch: usize,
    /// answers an optimizer step; the paper: 64
    pub minibatch: usize,
    /// passes over each batch; the paper: 1, TRL's habit: 4
    pub epochs: usize,
    /// learning rate of the policy; the paper swept 2.55e-6 … 2.55e-5, small models want more
    pub lr: f32,
    /// learning rate of the value network; the paper: 9e-6
    pub value_lr: f32,
    /// iterations over which the learning rate rises; the paper: 10, from a tenth of the peak
    pub warmup: usize,
    /// ratio clip ε; the paper: 0.2
    pub clip: f32,
    /// value clip
    pub value_clip: f32,
    /// discount; the paper: none
    pub gamma: f32,
    /// GAE's λ
    pub lambda: f32,
    /// β, nats' price at the start; the paper: 0.02
    pub kl_coef: f32,
    /// fixed, or steered towards a target
    pub kl: KlControl,
    /// scale rewards to variance 1 (keeping their mean) before GAE
    pub whiten_rewards: bool,
    /// sampling temperature; the same divides the logits everywhere else
    pub temperature: f32,
    /// longest answer, in tokens
    pub max_new: usize,
    /// taken from the score of an answer that does not end by itself
    pub missing_end_penalty: f32,
    /// scores are clipped to ±this; 0 leaves them
    pub score_clip: f32,
    /// the averaged weights keep this share a step; the paper: 0.992
    pub ema: f32,
    /// γ of PPO-ptx: times the pretraining gradient (of a mean per token); 0 is plain PPO. The paper's 27.8 belongs to
    /// its own normalisation: sweep, do not copy
    pub ptx_coef: f32,
    /// pretraining sequences for each episode; the paper: 8
    pub ptx_ratio: f32,
    pub weight_decay: f32,
    /// ε of Adam
    pub adam_eps: f32,
    /// gradients are shortened to this norm; 0 leaves them
    pub grad_clip: f32,
    /// tokens a micro-batch; memory, not results, depends on it
    pub token_budget: usize,
    /// answers that grow side by side
    pub generate_batch: usize,
}

impl Default for PpoConfig {
    fn default() -> PpoConfig {
        PpoConfig {
            episodes: 256_000,
            batch: 512,
            minibatch: 64,
            epochs: 1,
            lr: 9.65e-6,
            value_lr: 9e-6,
            warmup: 10,
            clip: 0.2,
            value_clip: 0.2,
            gamma: 1.0,
            lambda: 0.95,
            kl_coef: 0.02,
            kl: KlControl::Fixed,
            whiten_rewards: false,
            temperature: 1.0,
            max_new: 128,
            missing_end_penalty: 1.0,
            score_clip: 0.0,
            ema: 0.992,
            ptx_coef: 0.0,
            ptx_ratio: 1.0,
            weight_decay: 0.0,
            adam_eps: 1e-5,
            grad_clip: 1.0,
            token_budget: 8192,
            generate_batch: 64,
        }
    }
}

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
    config: &PpoConfig,
    rng: Rng,
    run: &mut Run,
) -> Result<PpoOutcome, TrainError> {
    check_input(&ppo, prompts, text, config)?;
    let adam = AdamWConfig { eps: config.adam_eps, weight_decay: config.weight_decay, ..AdamWConfig::default() };
    let mut moving = Moving {
        progress: Progress::default(),
        ema: ppo.policy_params.clone(),
        policy: Learner::new(ppo.policy_params.clone(), adam, config.grad_clip),
        value: Learner::new(ppo.value_params.clone(), adam, config.grad_clip),
        kl_coef: config.kl_coef as f64,
    };
    let iterations = config.episodes.div_ceil(config.batch);
    run.tell_schedule(iterations, 0.0, config.warmup);
    run.restore(moving.state())?;

    let schedule = Schedule::Constant { warmup: config.warmup };
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

        let lr = |peak| schedule.lr_at(peak, iteration, iterations);
        let mut update = Update {
            ppo: &ppo,
            config,
            rollout: &rollout,
            goals: &goals,
            lr: lr(config.lr),
            value_lr: lr(config.value_lr),
            averages: Average::default(),
            unchecked: &mut unchecked,
        };
        update.run(&mut moving, text, &mut text_order, rng.stream("minibatches").fold(iteration as u64))?;
        let averages = update.averages;

        let kl = stats::mean(&rollout.kl(stats::k1));
        let mut metrics = describe(&rollout, &goals, moving.kl_coef);
        moving.kl_coef = config.kl.next_coef(moving.kl_coef, kl, rollout.episodes.len());
        moving.progress.step += 1;
        moving.progress.tokens += rollout.logp.len() as u64;
        metrics.extend(averages.means());
        metrics.extend([
            ("lr", lr(config.lr) as f64),
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

fn check_input(ppo: &Ppo, prompts: &[Vec<u32>], text: &[Example], config: &PpoConfig) -> Result<(), TrainError> {
    let wrong = |what: &str| Err(TrainError::Data(format!("PPO: {what}")));
    if prompts.is_empty() {
        return wrong("there are no prompts");
    }
    for model in [ppo.policy, ppo.reference.0, ppo.value] {
        let lengths = prompts.iter().map(|prompt| prompt.len() + config.max_new * (!prompt.is_empty()) as usize);
        check_lengths("prompt with max_new tokens of answer:", lengths, model)?;
    }
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), ppo.policy)?;
    if config.ptx_coef > 0.0 && text.is_empty() {
        return wrong("ptx_coef is above 0 but there is no pretraining text");
    }
    if config.batch == 0 || config.minibatch == 0 || config.epochs == 0 || config.max_new == 0 {
        return wrong("batch, minibatch, epochs and max_new must be at least 1");
    }
    if config.temperature <= 0.0 {
        return wrong("temperature must be above 0: PPO learns from chance");
    }
    Ok(())
}

impl Ppo<'_> {
    /// What policy, average and value network make of some answers now: a sum that is finite as long as they are well.
    fn look(&self, now: &State, episodes: &[Episode], config: &PpoConfig) -> f64 {
        let some: Vec<Vec<u32>> = episodes.iter().take(config.minibatch).map(Episode::sequence).collect();
        let read = |params: &Params| lm::logprobs(self.policy, params, &some, config.token_budget).concat();
        let policies = [read(&now.learners[0].1.params), read(now.params[0].1)].concat();
        let values = rm::score(self.value, &now.learners[1].1.params, &some, config.token_budget);
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

impl PpoConfig {
    fn rollout(&self) -> RolloutConfig {
        RolloutConfig {
            temperature: self.temperature,
            max_new: self.max_new,
            missing_end_penalty: self.missing_end_penalty,
            score_clip: self.score_clip,
            token_budget: self.token_budget,
            generate_batch: self.generate_batch,
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
    fn of(rollout: &Rollout, kl_coef: f32, config: &PpoConfig) -> Goals {
        let mut rewards = token_rewards(&rollout.spans, &rollout.logp, &rollout.ref_logp, &rollout.scores, kl_coef);
        if config.whiten_rewards {
            rewards = whiten(&rewards, false);
        }
        let advantages = gae(&rollout.spans, &rewards, &rollout.values, config.gamma, config.lambda);
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
