//! One iteration's optimizer steps: minibatches in random order, each cut into micro-batches by a token budget.

use super::{
    Config, Goals, Moving, Ppo, check,
    loss::{Numbers, policy_loss, value_loss},
};
use crate::{
    data::Example,
    lm,
    metrics::Average,
    rollout::{self, Episode, ResponseBatch, Rollout},
    train::{Order, TrainError},
};
use autograd::ops;
use kernels::{Rng, Tensor, read_all};

/// What the steps of one iteration share.
pub(super) struct Update<'a> {
    pub ppo: &'a Ppo<'a>,
    pub config: &'a Config,
    pub rollout: &'a Rollout,
    pub goals: &'a Goals,
    pub lr: f32,
    pub value_lr: f32,
    pub averages: Average,
    /// the self-check of the first minibatch is still to come
    pub unchecked: &'a mut bool,
}

impl Update<'_> {
    pub(super) fn run(
        &mut self,
        moving: &mut Moving,
        text: &[Example],
        text_order: &mut Order,
        rng: Rng,
    ) -> Result<(), TrainError> {
        let answers = self.rollout.episodes.len();
        let per_epoch = self.config.batch.div_ceil(self.config.minibatch);
        for epoch in 0..self.config.epochs {
            let order = rng.fold(epoch as u64).permutation(answers);
            for (step, minibatch) in order.chunks(self.config.minibatch).enumerate() {
                let steps_before = (moving.progress.step * self.config.epochs + epoch) * per_epoch + step;
                let text: Vec<&Example> = match self.config.ptx_coef > 0.0 {
                    true => text_order
                        .batch(steps_before, self.ptx_rows(), usize::MAX)
                        .into_iter()
                        .map(|i| &text[i])
                        .collect(),
                    false => Vec::new(),
                };
                self.step(moving, minibatch, &text)?;
            }
        }
        Ok(())
    }

    fn ptx_rows(&self) -> usize {
        ((self.config.minibatch as f32 * self.config.ptx_ratio as f32).round() as usize).max(1)
    }

    /// One step of both networks. The gradients of PPO and of pretraining gather in one buffer.
    fn step(&mut self, moving: &mut Moving, minibatch: &[usize], text: &[&Example]) -> Result<(), TrainError> {
        let (logp, values, entropy) = self.gather(moving, minibatch);
        let config = self.config;
        let ptx = lm::accumulate(
            self.ppo.policy,
            &mut moving.policy,
            text,
            config.compute.token_budget,
            config.ptx_coef as f32,
            None,
        );

        let arrays: Vec<&Tensor> = logp.iter().chain(&values).chain(&entropy).chain(&ptx).collect();
        let mut read = read_all(&arrays).into_iter();
        let mut next = |n: usize| read.by_ref().take(n).collect::<Vec<_>>().concat();
        let (logp, values, entropy, ptx) = (next(logp.len()), next(values.len()), next(entropy.len()), next(ptx.len()));

        let (old_logp, old_values) =
            (self.pick(&self.rollout.logp, minibatch), self.pick(&self.rollout.values, minibatch));
        let (advantages, returns) =
            (self.pick(&self.goals.advantages, minibatch), self.pick(&self.goals.returns, minibatch));
        let numbers = Numbers {
            logp: &logp,
            old_logp: &old_logp,
            advantages: &advantages,
            values: &values,
            old_values: &old_values,
            returns: &returns,
        };
        if std::mem::take(self.unchecked) {
            let episodes: Vec<&Episode> = minibatch.iter().map(|&e| &self.rollout.episodes[e]).collect();
            check::same_policy(&episodes, &old_logp, &logp, check::TOLERANCE).map_err(TrainError::SelfCheck)?;
        }

        let taken = numbers.check_finite().and_then(|()| self.descend(moving));
        if taken.is_ok() {
            let tokens = logp.len() as f64;
            for (name, value) in numbers.metrics(config.clip as f32, config.value_clip as f32) {
                self.averages.add(name, value, tokens);
            }
            self.averages.add("policy/entropy_avg", entropy.iter().map(|&h| h as f64).sum::<f64>() / tokens, tokens);
            if !text.is_empty() {
                self.averages.add(
                    "loss/ptx",
                    ptx.iter().map(|&l| l as f64).sum::<f64>() / f64::from(config.ptx_coef as f32),
                    1.0,
                );
            }
        }
        moving.policy.drop_gradient();
        moving.value.drop_gradient();
        moving.progress.count(taken)
    }

    /// Gradients of both losses, by micro-batches; the denominators are the whole minibatch's.
    /// Returns new log-probabilities, values and entropies, still on the device.
    fn gather(&self, moving: &mut Moving, minibatch: &[usize]) -> (Vec<Tensor>, Vec<Tensor>, Vec<Tensor>) {
        let (config, device) = (self.config, moving.policy.device());
        let episodes: Vec<&Episode> = minibatch.iter().map(|&e| &self.rollout.episodes[e]).collect();
        let scale = 1.0 / minibatch.iter().map(|&e| self.rollout.spans[e].len()).sum::<usize>() as f32;
        let (mut all_logp, mut all_values, mut all_entropy) = (Vec::new(), Vec::new(), Vec::new());
        for range in rollout::cut(&episodes, config.compute.token_budget) {
            let batch = ResponseBatch::new(&episodes[range.clone()]);
            let upload = |x: &[f32]| {
                let x = self.pick(x, &minibatch[range.clone()]);
                Tensor::from_slice(&device, &[x.len()], &x)
            };
            let (old_logp, advantages) = (upload(&self.rollout.logp), upload(&self.goals.advantages));
            let (_, (logp, entropy)) = moving.policy.backprop(|w| {
                let logits = batch.logits(self.ppo.policy, w, config.sampling.temperature as f32);
                let entropy = ops::entropy(&logits);
                let logp = ops::logprob(&logits, batch.targets());
                let loss = policy_loss(&logp, &old_logp, &advantages, config.clip as f32, scale);
                (loss, (logp.value().clone(), entropy))
            });
            let (old_values, returns) = (upload(&self.rollout.values), upload(&self.goals.returns));
            let (_, values) = moving.value.backprop(|w| {
                let values = batch.values(self.ppo.value, w);
                (value_loss(&values, &old_values, &returns, config.value_clip as f32, scale), values.value().clone())
            });
            all_logp.push(logp);
            all_values.push(values);
            all_entropy.push(entropy);
        }
        (all_logp, all_values, all_entropy)
    }

    fn descend(&mut self, moving: &mut Moving) -> Result<(), String> {
        let norm = moving.policy.step(self.lr)?;
        let keep = self.config.ema as f32;
        kernels::lerp(moving.ema.flat_mut(), 1.0 - keep, moving.policy.params.flat());
        self.averages.add("policy/grad_norm", norm as f64, 1.0);
        let norm = moving.value.step(self.value_lr)?;
        self.averages.add("value/grad_norm", norm as f64, 1.0);
        Ok(())
    }

    /// The entries of an array [T] that belong to these episodes, in their order.
    fn pick(&self, x: &[f32], episodes: &[usize]) -> Vec<f32> {
        episodes.iter().flat_map(|&e| x[self.rollout.spans[e].clone()].iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        rollout::{Actors, collect},
        train::{Learner, Progress},
    };
    use autograd::Params;
    use kernels::Device;
    use model::{HeadKind, Model, Transformer};

    fn tiny(head: HeadKind, seed: u64) -> (Transformer, Params) {
        let model = Model::new(&model::Config::gpt2(12, 32, 1, 16, 2), head, Rng::new(seed), &Device::Cpu);
        (model.net, model.params)
    }

    fn moved(params: &Params, direction: &[f32], by: f32) -> Params {
        let mut params = params.clone();
        kernels::axpy(params.flat_mut(), by, &Tensor::new(&[direction.len()], direction.to_vec()));
        params
    }

    /// The gradient that one PPO-ptx step descends is that of `policy loss + γ · loss on text`: finite differences along
    /// random directions, away from ratio 1, with several micro-batches.
    #[test]
    fn gradient_is_that_of_ppo_plus_gamma_times_text() {
        let ((policy, start), (value, value_params)) = (tiny(HeadKind::Lm, 1), tiny(HeadKind::Score, 2));
        let ppo = Ppo {
            policy: &policy,
            policy_params: start.clone(),
            reference: (&policy, &start),
            value: &value,
            value_params: value_params.clone(),
            reward: &|episodes| episodes.iter().map(|e| e.response.len() as f32).collect(),
            eos: &[0],
        };
        let mut config = Config { ptx_coef: 2.5, kl_coef: 0.1, ..Config::default() };
        (config.compute.token_budget, config.sampling.max_new_tokens) = (40, 5);
        let reference = (&policy, &start);
        let actors =
            Actors { policy: reference, reference, value: (&value, &value_params), reward: ppo.reward, eos: &[0] };
        let prompts = (1..9).map(|i| vec![i, i + 2]).collect();
        let how = config.rollout();
        let rollout = collect(&actors, prompts, &how, Rng::new(3)).unwrap();
        let goals = Goals::of(&rollout, config.kl_coef as f32, &config);
        let text = [Example::text(vec![3, 1, 4, 1, 5, 9, 2, 6]), Example::text(vec![2, 7, 1, 8])];
        let all: Vec<usize> = (0..8).collect();

        // a little away from the policy that sampled, so that some ratios are clipped and none is 1
        let random =
            |seed: u64| -> Vec<f32> { (0..start.flat().len() as u64).map(|i| Rng::new(seed).normal_at(i)).collect() };
        let here = moved(&start, &random(7), 0.05);
        let objective = |params: Params, value_params: &Params| -> (f64, Vec<f32>) {
            let mut moving = Moving {
                progress: Progress::default(),
                ema: params.clone(),
                policy: Learner::new(params.clone(), Default::default(), 0.0),
                value: Learner::new(value_params.clone(), Default::default(), 0.0),
                kl_coef: 0.1,
            };
            let mut unchecked = false;
            let update = Update {
                ppo: &ppo,
                config: &config,
                rollout: &rollout,
                goals: &goals,
                lr: 0.0,
                value_lr: 0.0,
                averages: Average::default(),
                unchecked: &mut unchecked,
            };
            let (logp, values, _) = update.gather(&mut moving, &all);
            let refs: Vec<&Example> = text.iter().collect();
            lm::accumulate(&policy, &mut moving.policy, &refs, 40, config.ptx_coef as f32, None);
            let read = |x: &[Tensor]| x.iter().flat_map(Tensor::to_vec).collect::<Vec<f32>>();
            let numbers = Numbers {
                logp: &read(&logp),
                old_logp: &rollout.logp,
                advantages: &goals.advantages,
                values: &read(&values),
                old_values: &rollout.values,
                returns: &goals.returns,
            };
            let ppo_loss = numbers.metrics(config.clip as f32, config.value_clip as f32)[0].1;
            (
                ppo_loss + config.ptx_coef * lm::evaluate(&policy, &params, &text, 100),
                moving.policy.grads().flat().to_vec(),
            )
        };
        let (_, gradient) = objective(here.clone(), &value_params);
        for seed in 11..15 {
            let direction = random(seed);
            let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| *g as f64 * *d as f64).sum();
            let h = 2e-4;
            let rise = objective(moved(&here, &direction, h), &value_params).0
                - objective(moved(&here, &direction, -h), &value_params).0;
            let measured = rise / (2.0 * h as f64);
            assert!((measured - along).abs() < 0.02 * along.abs().max(1.0), "{measured} is not {along}");
        }
    }
}
