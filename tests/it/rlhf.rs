//! The loops of SFT, reward model and PPO on models small enough to check everything: what implementations of RLHF get
//! wrong, a test each. The gradient of PPO-ptx is checked in `methods::ppo`, the arithmetic in `losses.rs`.

use crate::support::{close, close_all, tiny};
use autograd::{Params, ops};
use kernels::{Ids, Rng, Tensor};
use model::{HeadKind, Transformer};
use rlhf_core::{
    data::{Example, Ranking, windows},
    lm,
    methods::{
        groups::{Compute, Optim, Sampling},
        ppo::{self, Models, Outcome},
        pretrain, rm, sft,
    },
    rewards::{Reward, Rewards},
    rollout::{self, Episode, Sampler, Samples, sample},
    stats,
    train::{Learner, Run, TrainError},
};
use std::{cell::RefCell, rc::Rc};

pub const EOS: u32 = 0;
pub const VOCAB: usize = 12;
const LETTER: u32 = 5;

pub fn prompts(n: u32) -> Vec<Vec<u32>> {
    (0..n).map(|i| (0..1 + i % 4).map(|j| 1 + (i * 7 + j * 3) % (VOCAB as u32 - 1)).collect()).collect()
}

pub fn demonstrations(n: u32) -> Vec<Example> {
    let answer = |prompt: &Vec<u32>| -> Vec<u32> { prompt.iter().rev().copied().chain([EOS]).collect() };
    prompts(n).iter().map(|prompt| Example::completion(prompt, &answer(prompt))).collect()
}

pub fn rankings(n: u32) -> Vec<Ranking> {
    let completions =
        |i: u32| (0..3 + i % 4).map(|k| vec![1 + (i + k) % 11, 1 + (k * k) % 11, EOS]).collect::<Vec<_>>();
    let rank = |c: &Vec<u32>| -(c[0] as f32 + c[1] as f32); // larger ids are better, some tie
    let ranking = |(i, prompt)| {
        let completions = completions(i);
        Ranking { prompt, ranks: completions.iter().map(rank).collect(), completions }
    };
    (0..n).zip(prompts(n)).map(ranking).collect()
}

struct Tiny {
    policy: Transformer,
    params: Params,
    value: Transformer,
    value_params: Params,
}

impl Tiny {
    fn new(seed: u64) -> Tiny {
        let (policy, params) = tiny(VOCAB, HeadKind::Lm, seed);
        let (value, value_params) = tiny(VOCAB, HeadKind::Score, seed + 1);
        Tiny { policy, params, value, value_params }
    }

    fn models<'a>(&'a self, reward: &'a Reward) -> Models<'a> {
        Models {
            policy: &self.policy,
            policy_params: self.params.clone(),
            reference: (&self.policy, &self.params),
            value: &self.value,
            value_params: self.value_params.clone(),
            reward,
            eos_ids: &[EOS],
        }
    }

    fn sample(&self, how: &Sampler) -> Samples {
        let asked: Vec<usize> = (0..24).collect();
        sample((&self.policy, &self.params), &prompts(24), &asked, 1, how, Rng::new(3)).unwrap()
    }
}

const SAMPLER: Sampler =
    Sampler { temperature: 1.0, max_new_tokens: 8, generate_batch: 5, eos_ids: &[EOS], token_budget: 64 };

pub fn optim(lr: f64) -> Optim {
    Optim { lr, ..Optim::default() }
}

fn budget(token_budget: usize) -> Compute {
    Compute { token_budget, ..Compute::default() }
}

pub fn ppo_config() -> ppo::Config {
    ppo::Config {
        episodes: 24 * 4,
        batch: 24,
        minibatch: 12,
        optim: Optim { warmup: 10, ..optim(1e-3) },
        value_lr: 1e-3,
        sampling: Sampling { max_new_tokens: 6, generate_batch: 7, ..Sampling::default() },
        missing_eos_penalty: 0.0,
        compute: budget(100),
        ..ppo::Config::default()
    }
}

pub fn count_letter(episodes: &[Episode]) -> Result<Rewards, TrainError> {
    let count = |e: &Episode| e.completion.iter().filter(|&&t| t == LETTER).count() as f32;
    Ok(episodes.iter().map(count).collect::<Vec<f32>>().into())
}

/// A run that keeps what it was told.
pub type Told = Rc<RefCell<Vec<Vec<(&'static str, f64)>>>>;

pub fn listening() -> (Run, Told) {
    let told = Told::default();
    let ear = told.clone();
    (Run { on_step: Box::new(move |step| ear.borrow_mut().push(step.metrics.clone())), ..Run::quiet() }, told)
}

pub fn named(metrics: &[(&'static str, f64)], name: &str) -> f64 {
    metrics.iter().find(|m| m.0 == name).unwrap_or_else(|| panic!("{name} was not logged")).1
}

// ---- 1 ragged = alone ----------------------------------------------------------------------------------------------------

#[test]
fn a_batch_of_different_lengths_equals_each_alone() {
    let t = Tiny::new(1);
    let sequences: Vec<Vec<u32>> = vec![vec![1, 2, 3, 4, 5, 6, 7], vec![3, 1], vec![9, 8, 7, 1]];
    let together = lm::logprobs(&t.policy, &t.params, &sequences, 1000);
    let scores = rm::score(&t.value, &t.value_params, &sequences, 1000);
    for (i, alone) in sequences.iter().enumerate() {
        let alone = std::slice::from_ref(alone);
        close_all(&together[i], &lm::logprobs(&t.policy, &t.params, alone, 1000)[0], 1e-4);
        close(scores[i], rm::score(&t.value, &t.value_params, alone, 1000)[0], 1e-4);
    }
    let samples = t.sample(&SAMPLER);
    let one = t.sample(&Sampler { token_budget: 1, generate_batch: 1, ..SAMPLER });
    assert_eq!(samples.episodes, one.episodes, "what is drawn must not depend on the batch");
    let logp = |budget| rollout::logprobs((&t.policy, &t.params), &samples.episodes, 1.0, budget);
    let values = |budget| rollout::values((&t.value, &t.value_params), &samples.episodes, budget);
    close_all(&logp(64), &logp(1), 1e-4);
    close_all(&logp(64), &samples.logp, 1e-4);
    close_all(&values(64), &values(1), 1e-4);
}

// ---- 2 ratio 1, 7 KL -------------------------------------------------------------------------------------------------------

#[test]
fn the_first_minibatch_starts_at_ratio_one() {
    for temperature in [1.0, 0.7] {
        let t = Tiny::new(2);
        let (mut run, told) = listening();
        let mut config = ppo::Config { episodes: 24, minibatch: 24, ..ppo_config() };
        config.sampling.temperature = temperature;
        ppo::train(t.models(&count_letter), &prompts(24), &[], &config, Rng::new(1), &mut run).unwrap();
        let first = &told.borrow()[0];
        close(named(first, "val/ratio") as f32, 1.0, 1e-5);
        assert!(named(first, "policy/approxkl_avg") < 1e-9 && named(first, "policy/clipfrac_avg") == 0.0);
        assert!(named(first, "objective/kl").abs() < 1e-4, "the reference is the policy");
        for (name, value) in first {
            assert!(rlhf_core::metrics::find(name).is_some(), "{name} is not in the table");
            assert!(value.is_finite(), "{name} = {value}");
        }
    }
}

#[test]
fn kl_estimators_agree_with_the_exact_kl() {
    let (policy, other) = (Tiny::new(3), Tiny::new(40));
    let how = Sampler { max_new_tokens: 1, token_budget: 4000, generate_batch: 64, eos_ids: &[], ..SAMPLER };
    let prompt = vec![3, 4];
    let prompts = [prompt.clone()];
    let samples = sample((&policy.policy, &policy.params), &prompts, &[0], 2000, &how, Rng::new(5)).unwrap();
    let ref_logp = rollout::logprobs((&policy.policy, &other.params), &samples.episodes, 1.0, 4000);
    let log_p = |params: &Params| -> Vec<f64> {
        let w = params.frozen();
        let seg = kernels::Segments::from_lengths(&[2]);
        let hidden = policy.policy.hidden(&w, &Ids::new(prompt.clone()), &seg, None);
        let logits = policy.policy.logits(&w, &ops::index_select(&hidden, &Ids::new(vec![1]))).value().to_vec();
        let total = logits.iter().map(|&x| f64::from(x).exp()).sum::<f64>().ln();
        logits.iter().map(|&x| f64::from(x) - total).collect()
    };
    let (log_p, log_q) = (log_p(&policy.params), log_p(&other.params));
    let exact: f64 = log_p.iter().zip(&log_q).map(|(p, q)| p.exp() * (p - q)).sum();
    for estimator in [stats::k1, stats::k3] {
        let kl = samples.kl(&ref_logp, estimator);
        let (mean, error) = (stats::mean(&kl), (stats::variance(&kl) / kl.len() as f64).sqrt());
        assert!((mean - exact).abs() < 3.0 * error, "{mean} ± {error} is not {exact}");
    }
    assert!(samples.kl(&ref_logp, stats::k3).iter().all(|&k| k >= 0.0));
}

// ---- 5 bias ---------------------------------------------------------------------------------------------------

#[test]
fn after_centering_demonstrations_score_zero() {
    let mut t = Tiny::new(4);
    let demos = demonstrations(30);
    rm::center(&t.value, &mut t.value_params, &demos, 200);
    let sequences: Vec<Vec<u32>> = demos.iter().map(|d| d.tokens.clone()).collect();
    let scores = rm::score(&t.value, &t.value_params, &sequences, 200);
    close(scores.iter().sum::<f32>() / 30.0, 0.0, 1e-4);
}

/// Between two rewards that work: the run ends with what the reward says.
#[test]
fn a_reward_that_fails_ends_the_run() {
    let t = Tiny::new(5);
    let (mut run, told) = listening();
    let asked = std::cell::Cell::new(0);
    let reward = |episodes: &[Episode]| {
        asked.set(asked.get() + 1);
        if asked.get() == 2 { Err(TrainError::Data("the judge is gone".into())) } else { count_letter(episodes) }
    };
    let result = ppo::train(t.models(&reward), &prompts(24), &[], &ppo_config(), Rng::new(1), &mut run);
    assert_eq!(result.err().expect("an error").to_string(), "the judge is gone");
    assert_eq!(told.borrow().len(), 1);
}

// ---- 8 accumulation --------------------------------------------------------------------------------------------------------

#[test]
fn micro_batches_change_nothing() {
    let t = Tiny::new(6);
    let demos = demonstrations(64);
    let all: Vec<&Example> = demos.iter().collect();
    let gradient = |budget: usize| {
        let mut learner = Learner::new(t.params.clone(), Default::default(), 0.0);
        let loss: f32 = lm::accumulate(&t.policy, &mut learner, &all, budget, 1.0, None).iter().map(Tensor::item).sum();
        (loss, learner.grads().flat().to_vec())
    };
    let (whole, cut) = (gradient(100_000), gradient(60));
    close(whole.0, cut.0, 1e-5);
    close_all(&whole.1, &cut.1, 1e-6);

    let norms = |train: &dyn Fn(usize, &mut Run)| -> Vec<Vec<f64>> {
        let of = |budget| {
            let (mut run, told) = listening();
            train(budget, &mut run);
            let told = told.borrow();
            told.iter()
                .flatten()
                .filter(|m| m.0.ends_with("grad_norm") || m.0.starts_with("loss"))
                .map(|m| m.1)
                .collect()
        };
        vec![of(100_000), of(60)]
    };
    let rm = norms(&|token_budget, run| {
        let config =
            rm::Config { batch: 16, optim: optim(1e-3), compute: budget(token_budget), ..rm::Config::default() };
        rm::train(&t.value, t.value_params.clone(), &rankings(16), &config, Rng::new(1), run).unwrap();
    });
    let ppo = norms(&|token_budget, run| {
        let config =
            ppo::Config { episodes: 24, minibatch: 24, compute: budget(token_budget), ptx_coef: 0.5, ..ppo_config() };
        ppo::train(t.models(&count_letter), &prompts(24), &demos, &config, Rng::new(1), run).unwrap();
    });
    for both in [rm, ppo] {
        assert!(both[0].len() >= 2);
        both[0]
            .iter()
            .zip(&both[1])
            .for_each(|(a, b)| assert!((a - b).abs() <= 1e-5 * a.abs().max(1.0), "{a} is not {b}"));
    }
}

// ---- learning --------------------------------------------------------------------------------------------------------------

#[test]
fn sft_learns_demonstrations_by_heart() {
    let t = Tiny::new(7);
    let demos = demonstrations(24);
    let config = sft::Config { epochs: 150.0, batch: 8, optim: optim(1e-2), dropout: 0.0, ..sft::Config::default() };
    let trained =
        sft::train(&t.policy, t.params.clone(), &demos, &[], &config, Rng::new(1), &mut Run::quiet()).unwrap();
    let loss = lm::evaluate(&t.policy, &trained, &demos, 1000);
    assert!(loss < 0.1, "{loss} nats a token");
}

#[test]
fn reward_model_learns_an_order_it_can_see() {
    let t = Tiny::new(8);
    let config = rm::Config { epochs: 4.0, batch: 8, optim: optim(3e-3), ..rm::Config::default() };
    let trained =
        rm::train(&t.value, t.value_params.clone(), &rankings(200), &config, Rng::new(1), &mut Run::quiet()).unwrap();
    let held_out = &rankings(260)[200..];
    let accuracy = rm::accuracy(&t.value, &trained, held_out, 1000);
    assert!(accuracy.rate > 0.95, "{accuracy}");
    let untrained = rm::accuracy(&t.value, &t.value_params, held_out, 1000);
    assert!(untrained.rate < 0.9, "{untrained}");
}

#[test]
fn bandit_rises_to_its_maximum() {
    let t = Tiny::new(9);
    let (mut run, told) = listening();
    let config = ppo::Config {
        episodes: 64 * 55,
        batch: 64,
        minibatch: 16,
        optim: Optim { warmup: 10, ..optim(3e-3) },
        value_lr: 3e-3,
        kl_coef: 0.0,
        ..ppo_config()
    };
    ppo::train(t.models(&count_letter), &prompts(24), &[], &config, Rng::new(1), &mut run).unwrap();
    let scores: Vec<f64> = told.borrow().iter().map(|m| named(m, "objective/scores")).collect();
    assert!(scores[0] < 2.0 && *scores.last().unwrap() > 5.7, "of 6 at most: {scores:.2?}");
}

#[test]
fn a_dear_kl_keeps_the_policy_near() {
    let t = Tiny::new(9);
    let (mut run, told) = listening();
    let config = ppo::Config {
        episodes: 64 * 40,
        batch: 64,
        minibatch: 16,
        optim: Optim { warmup: 10, ..optim(3e-3) },
        value_lr: 3e-3,
        kl_coef: 0.5,
        ..ppo_config()
    };
    ppo::train(t.models(&count_letter), &prompts(24), &[], &config, Rng::new(1), &mut run).unwrap();
    let told = told.borrow();
    let (kl, score) = (named(told.last().unwrap(), "objective/kl"), named(told.last().unwrap(), "objective/scores"));
    assert!(kl > 0.0 && kl < 12.0, "KL {kl}");
    assert!(score > named(&told[0], "objective/scores") && score - 0.5 * kl > 0.0, "score {score} at KL {kl}");
}

// ---- 12 EMA ----------------------------------------------------------------------------------------------------------------

#[test]
fn the_average_trails_the_weights() {
    let t = Tiny::new(10);
    let config = ppo::Config { episodes: 24, minibatch: 24, ema: 0.992, ..ppo_config() };
    let out = train_ppo(&t, &config, &mut Run::quiet()).unwrap();
    let (start, end, ema) = (t.params.flat().to_vec(), out.policy.flat().to_vec(), out.ema.flat().to_vec());
    assert!(start != end);
    let expect: Vec<f32> = start.iter().zip(&end).map(|(a, b)| 0.992 * a + 0.008 * b).collect();
    close_all(&ema, &expect, 1e-6);
}

// ---- 11 resume, stopping, diverging ----------------------------------------------------------------------------------------

fn train_ppo(t: &Tiny, config: &ppo::Config, run: &mut Run) -> Result<Outcome, TrainError> {
    ppo::train(t.models(&count_letter), &prompts(24), &demonstrations(20), config, Rng::new(1), run)
}

/// Runs to the end at once; then again, stopped after `stop_at` steps and resumed. Gives the bits of both.
pub fn interrupted(stop_at: usize, train: impl Fn(&mut Run) -> Result<Vec<f32>, TrainError>) -> [Vec<u32>; 2] {
    let bits = |x: Vec<f32>| x.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let whole = bits(train(&mut Run::quiet()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run { dir: Some(dir.path().into()), ..Run::quiet() };
    let stop = run.stop.clone();
    run.on_step = Box::new(move |step| stop.store(step.step == stop_at, std::sync::atomic::Ordering::Relaxed));
    match train(&mut run) {
        Err(TrainError::Stopped { step }) => assert_eq!(step, stop_at),
        _ => panic!("it should have stopped"),
    }
    let mut run = Run { dir: Some(dir.path().into()), resume: true, ..Run::quiet() };
    let told = Rc::new(RefCell::new(None));
    let ear = told.clone();
    run.on_step = Box::new(move |step| _ = ear.borrow_mut().get_or_insert(step.step));
    let resumed = bits(train(&mut run).unwrap());
    assert_eq!(*told.borrow(), Some(stop_at + 1), "it must go on, not start again");
    [whole, resumed]
}

#[test]
fn sft_resumes_bit_for_bit() {
    let t = Tiny::new(11);
    let config = sft::Config {
        epochs: 2.0,
        batch: 7,
        optim: optim(1e-3),
        dropout: 0.2,
        pretrain_mix: 0.1,
        ..sft::Config::default()
    };
    let demos = demonstrations(20);
    let [whole, resumed] = interrupted(3, |run| {
        sft::train(&t.policy, t.params.clone(), &demos, &demos, &config, Rng::new(1), run).map(|p| p.flat().to_vec())
    });
    assert!(whole == resumed);
}

#[test]
fn reward_model_resumes_bit_for_bit() {
    let t = Tiny::new(12);
    let config = rm::Config { epochs: 2.0, batch: 8, optim: optim(1e-3), ..rm::Config::default() };
    let [whole, resumed] = interrupted(3, |run| {
        rm::train(&t.value, t.value_params.clone(), &rankings(24), &config, Rng::new(1), run).map(|p| p.flat().to_vec())
    });
    assert!(whole == resumed);
}

/// Resuming also repeats the self-check, now with an average that is not the policy: sampling uses the raw weights.
#[test]
fn ppo_resumes_bit_for_bit() {
    let t = Tiny::new(13);
    let adaptive = ppo::Config { kl_coef: 0.1, kl_target: 2.0, kl_horizon: 100.0, ..ppo_config() };
    let config = ppo::Config { epochs: 2, ptx_coef: 1.0, ema: 0.9, ..adaptive };
    let all = |o: Outcome| [o.policy, o.ema, o.value].map(|p| p.flat().to_vec()).concat();
    let [whole, resumed] = interrupted(2, |run| train_ppo(&t, &config, run).map(all));
    assert!(whole == resumed);
}

#[test]
fn input_that_cannot_be_used_is_named() {
    let t = Tiny::new(15);
    let message = |result: Result<Params, TrainError>| result.err().expect("an error").to_string();
    let quiet = &mut Run::quiet();
    let long = [Example::text(vec![1; 33])];
    let config = sft::Config::default();
    let sft = sft::train(&t.policy, t.params.clone(), &long, &[], &config, Rng::new(1), quiet);
    assert!(message(sft).contains("demonstration 0 has 33 tokens, the model holds 32"));
    let ties = [Ranking { prompt: vec![1], completions: vec![vec![2], vec![3]], ranks: vec![1.0, 1.0] }];
    let rm = rm::train(&t.value, t.value_params.clone(), &ties, &rm::Config::default(), Rng::new(1), quiet);
    assert!(message(rm).contains("no ranking prefers"));
    let mut config = ppo_config();
    config.sampling.max_new_tokens = 30;
    let ppo = ppo::train(t.models(&count_letter), &[vec![1, 2, 3]], &[], &config, Rng::new(1), quiet);
    assert!(message(ppo.map(|o| o.policy)).contains("33 tokens"));
}

#[test]
fn pretraining_learns_a_text_and_windows_predict_every_token_once() {
    let t = Tiny::new(16);
    let tokens: Vec<u32> = (0..200).map(|i| 1 + (i * i) % 7).collect();
    let text = windows(&tokens, 32);
    assert_eq!(text.iter().map(lm::weight).sum::<f32>(), 199.0);
    let config = pretrain::Config {
        steps: 105,
        batch: 4,
        optim: Optim { warmup: 20, ..optim(1e-2) },
        ..pretrain::Config::default()
    };
    let trained = pretrain::train(&t.policy, t.params.clone(), &text, &config, Rng::new(1), &mut Run::quiet()).unwrap();
    let loss = lm::evaluate(&t.policy, &trained, &text, 100);
    assert!(loss < 0.3, "{loss} nats a token");
}

#[test]
fn three_bad_steps_in_a_row_end_the_run() {
    let t = Tiny::new(14);
    let mut params = t.params.clone();
    let mut numbers = params.flat().to_vec();
    numbers[3] = f32::NAN;
    params.set_flat(&Tensor::new(&[numbers.len()], numbers));
    let (mut run, told) = listening();
    let config = sft::Config { epochs: 10.0, batch: 8, optim: optim(1e-3), dropout: 0.0, ..sft::Config::default() };
    let result = sft::train(&t.policy, params, &demonstrations(20), &[], &config, Rng::new(1), &mut run);
    assert!(matches!(result, Err(TrainError::Diverged { step: 3, .. })), "{:?}", result.err());
    assert_eq!(named(&told.borrow()[1], "skipped"), 2.0);
}

// ---- a GPU -----------------------------------------------------------------------------------------------------------------

/// SFT's and the reward model's losses at every step, and everything that PPO's first iteration says (so the answers
/// sampled, too: the generator is a counter on both). Later, Adam turns the last bits of gradients that should be 0 (the
/// bias of the score head has one) into steps of full size.
#[test]
fn the_loops_agree_on_a_gpu() {
    let Some(gpu) = crate::gpu::device() else { return };
    let t = Tiny::new(17);
    let there = Tiny { params: t.params.to(&gpu), value_params: t.value_params.to(&gpu), ..Tiny::new(17) };
    let demos = demonstrations(16);
    let told = |t: &Tiny| -> Vec<(&'static str, f64)> {
        let (mut run, told) = listening();
        let config = sft::Config { epochs: 2.0, batch: 8, optim: optim(1e-3), dropout: 0.2, ..sft::Config::default() };
        sft::train(&t.policy, t.params.clone(), &demos, &[], &config, Rng::new(1), &mut run).unwrap();
        let config = rm::Config { batch: 8, optim: optim(1e-3), ..rm::Config::default() };
        rm::train(&t.value, t.value_params.clone(), &rankings(16), &config, Rng::new(1), &mut run).unwrap();
        told.borrow_mut().iter_mut().for_each(|step| step.retain(|m| m.0 == "loss"));
        let config = ppo::Config { episodes: 24, ptx_coef: 1.0, ..ppo_config() };
        train_ppo(t, &config, &mut run).unwrap();
        let told = told.borrow().concat();
        told.into_iter().filter(|(name, _)| !name.starts_with("time") && *name != "eps").collect()
    };
    for ((name, here), (_, there)) in told(&t).into_iter().zip(told(&there)) {
        assert!((here - there).abs() <= 1e-3 * here.abs().max(1.0), "{name}: {here} on the CPU, {there} on the GPU");
    }
}
