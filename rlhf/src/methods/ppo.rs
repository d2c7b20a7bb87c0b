//! PPO as InstructGPT has it (§3.5, appendix C.4), and PPO-ptx: a prompt is a whole game, the tokens of its completion
//! are the moves; the reward comes with the last one, and every token pays for straying from the reference.
//!
//! One iteration is three steps: `rollout` (completions, log-probabilities, values, rewards), `advantages`,
//! `update` (minibatches). Policy and value are separate networks with optimizers of their own, so the usual value
//! coefficient, which Adam would divide out again, does not exist here; the value network starts as the reward model.

use super::{
    groups::{Adapter, Compute, Optim, Sampling, Saving, default_from_attributes},
    rm,
};
use crate::{
    advantage::{KlControl, gae, token_rewards, whiten},
    data::Example,
    lm,
    minibatch::{Average, Made, Minibatch, Read, minibatches},
    range::{MANY, count, positive, rate, within},
    rewards::Reward,
    rollout::{Episode, Samples, check_finite, logprobs, sample, values},
    stats,
    train::{Comm, Learner, Order, Progress, Run, State, TrainError, check_lengths},
};
use autograd::{AdamWConfig, Params, Schedule, Var, ops};
use clap::Args;
use kernels::{Rng, Tensor};
use model::Transformer;
use serde::Serialize;
use std::time::Instant;

/// The defaults are for small models; the paper's values stand beside them.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
#[command(mut_arg("lr", |a| a.help("Peak learning rate of the policy; the paper swept 2.55e-6 … 2.55e-5")))]
#[command(mut_arg("warmup", |a| a.default_value("10").help("Iterations of linear warm-up, from a tenth of the peak")))]
#[command(mut_arg("max_grad_norm", |a| a.help("Gradients are shortened to this norm; 0 leaves them")))]
#[command(mut_arg("save_every", |a| a.default_value("10").help("A checkpoint every so many iterations")))]
pub struct Config {
    /// Completions to sample in all; the paper: 256,000
    #[arg(long, default_value_t = 8_000, value_parser = count(1, MANY))]
    pub episodes: usize,
    /// Completions an iteration; the paper: 512
    #[arg(long, alias = "batch-size", default_value_t = 128, value_parser = count(1, 1 << 20))]
    pub batch: usize,
    /// Completions an optimizer step; the paper: 64
    #[arg(long, default_value_t = 32, value_parser = count(1, 1 << 20))]
    pub minibatch: usize,
    /// Passes over the completions of an iteration; the paper: 1, TRL's habit: 4
    #[arg(long, aliases = ["num-epochs", "num-train-epochs"], default_value_t = 1, value_parser = count(1, 10_000))]
    pub epochs: usize,
    /// learning rate, warm-up, weight decay, clipping
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
    /// Steer β so that the KL of a completion stays near this; 0 = β is fixed
    #[arg(long, default_value_t = 0.0, value_parser = within::<f64>(0.0, 1e6))]
    pub kl_target: f64,
    /// Episodes that a steered β takes
    #[arg(long, default_value_t = 10_000.0, value_parser = positive::<f64>(1e12))]
    pub kl_horizon: f64,
    /// Scale rewards to variance 1 (keeping their mean) before the advantages
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set)]
    pub whiten_rewards: bool,
    /// how completions are drawn
    #[command(flatten)]
    #[serde(flatten)]
    pub sampling: Sampling,
    /// Taken from the score of a completion that does not end by itself
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
    /// Pretraining sequences for each completion; the paper: 8
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f64>(1000.0))]
    pub ptx_ratio: f64,
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

/// The models that take part. All share one vocabulary; sizes may differ.
pub struct Models<'a> {
    /// the network that learns to complete prompts
    pub policy: &'a Transformer,
    /// where the policy starts
    pub policy_params: Params,
    /// what the KL is measured from
    pub reference: (&'a Transformer, &'a Params),
    /// the critic
    pub value: &'a Transformer,
    /// where the value network starts: the reward model's weights, its score head included
    pub value_params: Params,
    /// what a completion is worth: a reward model, or any function
    pub reward: &'a Reward<'a>,
    /// tokens that end a completion
    pub eos_ids: &'a [u32],
}

/// What PPO leaves.
pub struct Outcome {
    /// the last weights; what sampling used
    pub policy: Params,
    /// their moving average; what evaluation uses
    pub ema: Params,
    /// the critic
    pub value: Params,
}

/// `text` is read when `ptx_coef` is above 0.
///
/// # Errors
///
/// The data do not fit the models, the reward fails, sampler and trainer disagree, or training diverges.
pub fn train(
    models: Models,
    prompts: &[Vec<u32>],
    text: &[Example],
    config: &Config,
    rng: Rng,
    run: &mut Run,
) -> Result<Outcome, TrainError> {
    check_input(&models, prompts, text, config)?;
    let mut ppo = Training::new(&models, text, config, rng, run);
    let mut order = Order::new(rng.stream("prompts"), prompts.len(), run.comm.clone());
    let schedule = Schedule::Constant { warmup: config.optim.warmup };
    let iterations = config.episodes.div_ceil(config.batch);
    run.tell_schedule(iterations, 0.0, config.optim.warmup);
    run.restore(ppo.state())?;

    while ppo.progress.step < iterations {
        let iteration = ppo.progress.step;
        let started = Instant::now();
        let asked = order.batch(iteration, config.batch, config.episodes);
        let rollout = ppo.rollout(prompts, &asked).map_err(|e| e.at(iteration + 1))?;
        let sampled = started.elapsed().as_secs_f64();

        let [lr, value_lr] =
            [config.optim.lr, config.value_lr].map(|peak| schedule.lr_at(peak as f32, iteration, iterations));
        let averages = ppo.update(&rollout, lr, value_lr)?;

        let mut metrics = ppo.describe(&rollout);
        let (kl, episodes) = (rollout.kl(stats::k1, &*run.comm), run.comm.total(asked.len() as f64));
        ppo.kl_coef = config.kl_control().next_coef(ppo.kl_coef, kl, episodes as usize);
        ppo.progress.step += 1;
        ppo.progress.tokens += run.comm.total(rollout.samples.logp.len() as f64) as u64;
        metrics.extend(averages.means(&*run.comm));
        metrics.extend([
            ("lr", lr as f64),
            ("episode", (ppo.progress.step * config.batch).min(config.episodes) as f64),
            ("skipped", ppo.progress.skipped as f64),
            ("eps", episodes / started.elapsed().as_secs_f64()),
            ("time/rollout", sampled),
            ("time/update", started.elapsed().as_secs_f64() - sampled),
        ]);
        run.after_step(iterations, metrics, ppo.state(), |now| models.look(now, &rollout.samples.episodes, config))?;
    }
    Ok(Outcome { policy: ppo.policy.params, ema: ppo.ema, value: ppo.value.params })
}

/// A training: what it was given, and what moves.
struct Training<'a> {
    models: &'a Models<'a>,
    config: &'a Config,
    text: &'a [Example],
    text_order: Order,
    rng: Rng,
    /// the self-check of the first minibatch is still to come
    unchecked: bool,
    // what moves, and all of it: this is what a checkpoint holds
    progress: Progress,
    policy: Learner,
    value: Learner,
    ema: Params,
    kl_coef: f64,
}

/// What the policy of now does. T: the completion tokens of all B episodes.
struct Rollout {
    samples: Samples,
    /// [T] log π_ref(token)
    ref_logp: Vec<f32>,
    /// [T] the value network's guess where that token was about to be chosen
    values: Vec<f32>,
    /// [B] reward of the whole completion, clipped, less the missing-end penalty
    scores: Vec<f32>,
    /// [B] each: what the reward says besides, to be looked at
    parts: Vec<(&'static str, Vec<f64>)>,
    /// [T] whitened
    advantages: Vec<f32>,
    /// [T] what the value network should have said
    returns: Vec<f32>,
}

impl<'a> Training<'a> {
    fn new(models: &'a Models, text: &'a [Example], config: &'a Config, rng: Rng, run: &Run) -> Training<'a> {
        let adam = AdamWConfig { eps: config.adam_eps as f32, ..config.optim.adam() };
        let learner =
            |params: &Params| Learner::new(params.clone(), adam, config.optim.max_grad_norm as f32).among(&run.comm);
        Training {
            models,
            config,
            text,
            text_order: Order::new(rng.stream("text"), text.len().max(1), run.comm.clone()),
            rng,
            unchecked: true,
            progress: Progress::default(),
            policy: learner(&models.policy_params),
            value: learner(&models.value_params),
            ema: models.policy_params.clone(),
            kl_coef: f64::from(config.kl_coef as f32),
        }
    }

    fn state(&mut self) -> State<'_> {
        State {
            progress: &mut self.progress,
            learners: vec![("policy", &mut self.policy), ("value", &mut self.value)],
            params: vec![("ema", &mut self.ema)],
            numbers: vec![("kl_coef", &mut self.kl_coef)],
        }
    }

    /// The policy completes the prompts that are `asked` for; the others have their say.
    fn rollout(&self, prompts: &[Vec<u32>], asked: &[usize]) -> Result<Rollout, TrainError> {
        let (models, config, comm) = (self.models, self.config, &*self.policy.comm);
        let (temperature, budget) = (config.sampling.temperature as f32, config.compute.token_budget);
        let policy = (models.policy, &self.policy.params); // sampling uses the raw weights, not the average
        let rng = comm.own(self.rng.stream("sample").fold(self.progress.step as u64));
        let samples = sample(policy, prompts, asked, 1, &config.sampling.sampler(models.eos_ids, budget), rng)?;
        let ref_logp = logprobs(models.reference, &samples.episodes, temperature, budget);
        let values = values((models.value, &self.value.params), &samples.episodes, budget);

        let rewards = (models.reward)(&samples.episodes)?;
        assert_eq!(rewards.scores.len(), samples.episodes.len(), "a reward must give one score an episode");
        let clip = if config.score_clip > 0.0 { config.score_clip as f32 } else { f32::INFINITY };
        let final_score = |(score, episode): (&f32, &Episode)| {
            // f32::clamp lets NaN through, which check_finite then finds
            score.clamp(-clip, clip) - if episode.ended { 0.0 } else { config.missing_eos_penalty as f32 }
        };
        let scores: Vec<f32> = rewards.scores.iter().zip(&samples.episodes).map(final_score).collect();
        for (what, numbers) in [("reference log-probability", &ref_logp), ("value", &values), ("score", &scores)] {
            check_finite(what, numbers)?;
        }
        let (advantages, returns) = self.advantages(&samples, &ref_logp, &values, &scores);
        Ok(Rollout { samples, ref_logp, values, scores, parts: rewards.parts, advantages, returns })
    }

    /// Advantages, whitened, and returns.  both [T]
    fn advantages(&self, samples: &Samples, ref_logp: &[f32], values: &[f32], scores: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (config, comm) = (self.config, &*self.policy.comm);
        let mut rewards = token_rewards(&samples.spans, &samples.logp, ref_logp, scores, self.kl_coef as f32);
        if config.whiten_rewards {
            rewards = whiten(&rewards, false, comm);
        }
        let advantages = gae(&samples.spans, &rewards, values, config.gamma as f32, config.lambda as f32);
        let returns = advantages.iter().zip(values).map(|(a, v)| a + v).collect();
        (whiten(&advantages, true, comm), returns)
    }

    /// One step of both networks for every minibatch. Returns what the losses said, averaged over the minibatches.
    fn update(&mut self, rollout: &Rollout, lr: f32, value_lr: f32) -> Result<Average, TrainError> {
        let (config, comm) = (self.config, self.policy.comm.clone());
        let rng = self.rng.stream("minibatches").fold(self.progress.step as u64);
        let mut averages = Average::default();
        for minibatch in minibatches(&rollout.samples, config.epochs, config.minibatch, rng, &*comm) {
            let made = self.gradients(&minibatch, rollout).read();
            if std::mem::take(&mut self.unchecked) {
                minibatch.check_untrained(&made["logp"])?;
            }
            let finite = made.check_finite(
                &[("logp", "a log-probability of the policy"), ("values", "a value of the critic")],
                &*comm,
            );
            let stepped = finite.and_then(|()| self.step(lr, value_lr));
            match &stepped {
                Ok(norms) => {
                    let tokens = made["logp"].len() as f64;
                    figures(&made).into_iter().for_each(|(name, value)| averages.add(name, value, tokens));
                    norms.iter().for_each(|&(name, norm)| averages.add(name, f64::from(norm), 1.0));
                    if config.ptx_coef > 0.0 {
                        let loss = made.sum("ptx") / f64::from(config.ptx_coef as f32);
                        averages.add("loss/ptx", loss * comm.size() as f64, 1.0);
                    }
                }
                Err(_) => [&mut self.policy, &mut self.value].into_iter().for_each(Learner::drop_gradient),
            }
            self.progress.count(stepped.map(|_| ()))?;
        }
        Ok(averages)
    }

    /// Gathers the gradients of both losses, by micro-batches, and of the text.
    fn gradients(&mut self, minibatch: &Minibatch, rollout: &Rollout) -> Made {
        let (models, config, device) = (self.models, self.config, self.policy.device());
        let mut made = Made::default();
        for micro in minibatch.micro_batches(config.compute.token_budget, &device) {
            let (old_logp, advantages) = (micro.of(&rollout.samples.logp), micro.of(&rollout.advantages));
            self.policy.backprop(|w| {
                let logits = micro.logits(models.policy, w, config.sampling.temperature as f32);
                let entropy = ops::entropy(&logits);
                let logp = ops::logprob(&logits, micro.targets());
                let log_ratio = &logp - &old_logp;
                let ratio = ops::exp(&log_ratio);
                let (pg_loss, pg_loss1) = policy_loss(&ratio, &advantages, config.clip as f32);
                made.keep([("logp", logp.value()), ("log_ratio", log_ratio.value()), ("ratio", ratio.value())]);
                made.keep([("pg_loss", pg_loss.value()), ("pg_loss1", pg_loss1.value()), ("entropy", &entropy)]);
                (micro.mean(&pg_loss), ())
            });
            let (old_values, returns) = (micro.of(&rollout.values), micro.of(&rollout.returns));
            self.value.backprop(|w| {
                let values = micro.values(models.value, w);
                let (v_loss, v_loss1) = value_loss(&values, &old_values, &returns, config.value_clip as f32);
                made.keep([("values", values.value()), ("v_loss", v_loss.value()), ("v_loss1", v_loss1.value())]);
                (micro.mean(&v_loss), ())
            });
        }
        self.text_gradient(minibatch).iter().for_each(|loss| made.keep([("ptx", loss)]));
        made
    }

    /// PPO-ptx: γ times the gradient of pretraining gathers beside that of PPO. Returns γ times the loss, in pieces.
    fn text_gradient(&mut self, minibatch: &Minibatch) -> Vec<Tensor> {
        let config = self.config;
        if config.ptx_coef == 0.0 {
            return Vec::new();
        }
        let per_epoch = config.batch.div_ceil(config.minibatch);
        let steps_before = (self.progress.step * config.epochs + minibatch.epoch) * per_epoch + minibatch.step;
        let rows = ((config.minibatch as f32 * config.ptx_ratio as f32).round() as usize).max(1);
        let text = self.text_order.batch(steps_before, rows, usize::MAX);
        let text: Vec<&Example> = text.into_iter().map(|i| &self.text[i]).collect();
        let (budget, coef) = (config.compute.token_budget, config.ptx_coef as f32);
        lm::accumulate(self.models.policy, &mut self.policy, &text, budget, coef, None)
    }

    /// Both optimizers, and the average of the policy. Returns the norms of the gradients.
    fn step(&mut self, lr: f32, value_lr: f32) -> Result<[(&'static str, f32); 2], String> {
        let norm = self.policy.step(lr)?;
        kernels::lerp(self.ema.flat_mut(), 1.0 - self.config.ema as f32, self.policy.params.flat());
        Ok([("policy/grad_norm", norm), ("value/grad_norm", self.value.step(value_lr)?)])
    }
}

// ---- losses --------------------------------------------------------------------------------------------------------

/// max(−A ρ, −A clip(ρ, 1 ± ε)),  ρ = π / π_old: paid for good tokens, but only while near the policy that drew them
/// (Schulman 2017).  all [t]; also the loss without its clip
pub fn policy_loss(ratio: &Var, advantages: &Var, clip: f32) -> (Var, Var) {
    let pg_loss1 = -(ratio * advantages);
    let pg_loss2 = -(&ops::clamp(ratio, 1.0 - clip, 1.0 + clip) * advantages);
    (ops::max(&pg_loss1, &pg_loss2), pg_loss1)
}

/// ½ max((V − R)², (clip(V, V_old ± ε) − R)²): the critic may not run far in one update either.
/// all [t]; also the loss without its clip
pub fn value_loss(values: &Var, old_values: &Var, returns: &Var, clip: f32) -> (Var, Var) {
    let near = old_values + &ops::clamp(&(values - old_values), -clip, clip);
    let v_loss1 = ops::square(&(values - returns));
    let v_loss2 = ops::square(&(&near - returns));
    (ops::scale(&ops::max(&v_loss1, &v_loss2), 0.5), ops::scale(&v_loss1, 0.5))
}

/// What the losses of a minibatch say, by TRL's names; each is explained in `metrics::METRICS`.
fn figures(made: &Read) -> [(&'static str, f64); 8] {
    let ratio = made.mean("ratio", |ratio| ratio);
    [
        ("loss/policy_avg", made.mean("pg_loss", |loss| loss)),
        ("policy/approxkl_avg", made.mean("log_ratio", stats::k2)),
        ("policy/clipfrac_avg", made.above("pg_loss", "pg_loss1")),
        ("val/ratio", ratio),
        ("val/ratio_var", made.mean("ratio", |x| (x - ratio).powi(2))),
        ("loss/value_avg", made.mean("v_loss", |loss| loss)),
        ("val/clipfrac_avg", made.above("v_loss", "v_loss1")),
        ("policy/entropy_avg", made.mean("entropy", |entropy| entropy)),
    ]
}

// ---- what a person sees --------------------------------------------------------------------------------------------

impl Training<'_> {
    fn describe(&self, rollout: &Rollout) -> Vec<(&'static str, f64)> {
        let (comm, samples) = (&*self.policy.comm, &rollout.samples);
        let wide = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<f64>>();
        let completions = comm.total(samples.episodes.len() as f64);
        let each = |sum: f64| comm.total(sum) / completions;
        let (kl, scores) = (rollout.kl(stats::k1, comm), wide(&rollout.scores));
        let mean = comm.mean(&scores);
        let squares: Vec<f64> = scores.iter().map(|score| (score - mean).powi(2)).collect();
        let ended = samples.episodes.iter().filter(|e| e.ended).count() as f64;
        let mut metrics = vec![
            ("objective/kl", kl),
            ("objective/kl_k3", rollout.kl(stats::k3, comm)),
            ("objective/entropy", -each(wide(&samples.logp).iter().sum())),
            ("objective/non_score_reward", -self.kl_coef * kl),
            ("objective/scores", mean),
            ("objective/scores_std", comm.mean(&squares).sqrt()),
            ("objective/rlhf_reward", mean - self.kl_coef * kl),
            ("objective/kl_coef", self.kl_coef),
            ("val/explained_variance", stats::explained_variance(&wide(&rollout.values), &wide(&rollout.returns))),
            ("val/num_eos_tokens", comm.total(ended)),
            ("val/eos_rate", each(ended)),
            ("val/length", each(samples.logp.len() as f64)),
        ];
        metrics.extend(rollout.parts.iter().map(|(name, part)| (*name, comm.mean(part))));
        metrics
    }
}

impl Rollout {
    /// Σ_t f(log π − log π_ref), averaged over the completions.
    fn kl(&self, estimator: fn(f64) -> f64, comm: &dyn Comm) -> f64 {
        comm.mean(&self.samples.kl(&self.ref_logp, estimator))
    }
}

impl Models<'_> {
    /// What policy, average and value network make of some completions now: a sum, finite as long as they are well.
    fn look(&self, now: &State, episodes: &[Episode], config: &Config) -> f64 {
        let some: Vec<Vec<u32>> = episodes.iter().take(config.minibatch).map(Episode::sequence).collect();
        let budget = config.compute.token_budget;
        let read = |params: &Params| lm::logprobs(self.policy, params, &some, budget).concat();
        let policies = [read(&now.learners[0].1.params), read(now.params[0].1)].concat();
        let values = rm::score(self.value, &now.learners[1].1.params, &some, budget);
        policies.iter().chain(&values).map(|&x| f64::from(x)).sum()
    }
}

impl Config {
    fn kl_control(&self) -> KlControl {
        match self.kl_target {
            0.0 => KlControl::Fixed,
            target => KlControl::Adaptive { target: target as f32, horizon: self.kl_horizon as f32 },
        }
    }
}

fn check_input(models: &Models, prompts: &[Vec<u32>], text: &[Example], config: &Config) -> Result<(), TrainError> {
    let wrong = |what: &str| Err(TrainError::Data(format!("PPO: {what}")));
    if prompts.is_empty() {
        return wrong("there are no prompts");
    }
    let longest = config.sampling.max_new_tokens;
    for model in [models.policy, models.reference.0, models.value] {
        let lengths = prompts.iter().map(|prompt| prompt.len() + longest * (!prompt.is_empty()) as usize);
        check_lengths("prompt with max_new_tokens of completion:", lengths, model)?;
    }
    check_lengths("pretraining sequence", text.iter().map(|e| e.tokens.len()), models.policy)?;
    if config.ptx_coef > 0.0 && text.is_empty() {
        return wrong("ptx_coef is above 0 but there is no pretraining text");
    }
    if [config.batch, config.minibatch, config.epochs, longest].contains(&0) || config.sampling.temperature <= 0.0 {
        return wrong("batch, minibatch, epochs, max_new_tokens and temperature must be above 0");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
