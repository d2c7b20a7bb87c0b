//! The gradient of a whole PPO-ptx step, and what of the reward is learnt from.

use super::*;
use crate::rewards::Rewards;
use kernels::Device;
use model::{HeadKind, Model};

/// Policy and value network.
fn tiny() -> [Model; 2] {
    let config = model::Config::gpt2(12, 32, 1, 16, 2);
    [(HeadKind::Lm, 1), (HeadKind::Score, 2)]
        .map(|(head, seed)| Model::new(&config, head, Rng::new(seed), &Device::Cpu))
}

fn models<'a>([policy, value]: &'a [Model; 2], reward: &'a Reward<'a>, eos_ids: &'a [u32]) -> Models<'a> {
    Models {
        policy: &policy.net,
        policy_params: policy.params.clone(),
        reference: (&policy.net, &policy.params),
        value: &value.net,
        value_params: value.params.clone(),
        reward,
        eos_ids,
    }
}

fn moved(params: &Params, direction: &[f32], by: f32) -> Params {
    let mut params = params.clone();
    kernels::axpy(params.flat_mut(), by, &Tensor::new(&[direction.len()], direction.to_vec()));
    params
}

fn prompts() -> Vec<Vec<u32>> {
    (1..9).map(|i| vec![i, i + 2]).collect()
}

const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

/// The gradient that one PPO-ptx step descends is that of `policy loss + γ · loss on text`: finite differences along
/// random directions, away from ratio 1, with several micro-batches.
#[test]
fn gradient_is_that_of_ppo_plus_gamma_times_text() {
    let tiny = tiny();
    let reward =
        |episodes: &[Episode]| Ok(episodes.iter().map(|e| e.completion.len() as f32).collect::<Vec<_>>().into());
    let models = models(&tiny, &reward, &[0]);
    let (policy, start) = models.reference;
    let mut config = Config { ptx_coef: 2.5, kl_coef: 0.1, batch: 8, minibatch: 8, ..Config::default() };
    (config.compute.token_budget, config.sampling.max_new_tokens) = (40, 5);
    let text = [Example::text(vec![3, 1, 4, 1, 5, 9, 2, 6]), Example::text(vec![2, 7, 1, 8])];
    config.ptx_ratio = text.len() as f64 / 8.0; // both of them beside every minibatch
    let (rng, run) = (Rng::new(3), Run::quiet());
    let rollout = Training::new(&models, &text, &config, rng, &run).rollout(&prompts(), &ALL).unwrap();
    let minibatch = minibatches(&rollout.samples, 1, 8, rng, &*run.comm).next().unwrap();

    // a little away from the policy that sampled, so that some ratios are clipped and none is 1
    let random =
        |seed: u64| -> Vec<f32> { (0..start.flat().len() as u64).map(|i| Rng::new(seed).normal_at(i)).collect() };
    let here = moved(start, &random(7), 0.05);
    let objective = |params: Params| -> (f64, Vec<f32>) {
        let mut ppo = Training::new(&models, &text, &config, rng, &run);
        ppo.policy.params = params;
        let made = ppo.gradients(&minibatch, &rollout).read();
        let ppo_loss = figures(&made)[0].1;
        let text_loss = lm::evaluate(policy, &ppo.policy.params, &text, 100);
        (ppo_loss + config.ptx_coef * text_loss, ppo.policy.grads().flat().to_vec())
    };
    let (_, gradient) = objective(here.clone());
    for seed in 11..15 {
        let direction = random(seed);
        let along: f64 = gradient.iter().zip(&direction).map(|(g, d)| *g as f64 * *d as f64).sum();
        let h = 2e-4;
        let rise = objective(moved(&here, &direction, h)).0 - objective(moved(&here, &direction, -h)).0;
        let measured = rise / (2.0 * h as f64);
        assert!((measured - along).abs() < 0.02 * along.abs().max(1.0), "{measured} is not {along}");
    }
}

#[test]
fn a_completion_without_an_end_pays_the_penalty() {
    let tiny = tiny();
    let reward = |episodes: &[Episode]| {
        let numbers = episodes.iter().map(|e| e.number as f64).collect();
        Ok(Rewards { scores: vec![9.0; episodes.len()], parts: vec![("gold", numbers)] })
    };
    let models = models(&tiny, &reward, &[0, 1, 2, 3]);
    let mut config = Config { missing_eos_penalty: 2.5, score_clip: 1.0, ..Config::default() };
    config.sampling.max_new_tokens = 3;
    let run = Run::quiet();
    let ppo = Training::new(&models, &[], &config, Rng::new(3), &run);
    let rollout = ppo.rollout(&prompts(), &ALL).unwrap();
    let episodes = &rollout.samples.episodes;
    assert!(episodes.iter().any(|e| e.ended) && episodes.iter().any(|e| !e.ended), "a test of both kinds");
    for (episode, score) in episodes.iter().zip(&rollout.scores) {
        assert_eq!(episode.ended, episode.completion.last().is_some_and(|last| *last < 4));
        assert_eq!(*score, if episode.ended { 1.0 } else { -1.5 });
        assert_eq!(episode.prompt, prompts()[episode.number]);
    }
    let gold = ppo.describe(&rollout).into_iter().find(|(name, _)| *name == "gold");
    assert_eq!(gold, Some(("gold", 3.5)));
}
