//! Whole steps: training, generation, and one PPO iteration, at sizes that other programs are measured at.

use crate::error::{Failure, Result};
use crate::runlog::environment::peak_memory_bytes;
use crate::session::Common;
use crate::training::loading;
use autograd::{AdamWConfig, Params};
use kernels::{Device, Precision, Rng, Sampling};
use model::{Config, GenerateConfig, HeadKind, Transformer};
use rlhf_core::data::Example;
use rlhf_core::lm;
use rlhf_core::methods::ppo::{self, Models};
use rlhf_core::methods::rm;
use rlhf_core::train::{Learner, Run, Step};
use serde_json::{Map, Value, json};
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

#[derive(Clone, Copy)]
pub struct Shape {
    pub layers: usize,
    pub channels: usize,
    pub heads: usize,
    pub context: usize,
    pub vocab: usize,
    pub batch: usize,
    pub precision: Precision,
}

pub fn shape(size: &str, precision: Precision) -> Result<Shape> {
    let of = |[layers, channels, heads, context, vocab, batch]: [usize; 6]| Shape {
        layers,
        channels,
        heads,
        context,
        vocab,
        batch,
        precision,
    };
    match size {
        "tiny" => Ok(of([6, 192, 6, 128, 512, 32])),
        "small" => Ok(of([6, 384, 6, 256, 4096, 8])),
        "gpt2-124M" => Ok(of([12, 768, 12, 256, 50257, 2])),
        other => Err(Failure::usage(format!("--size {other}: it is tiny, small or gpt2-124M"))),
    }
}

impl Shape {
    fn model(&self, head: HeadKind, name: &str, device: &Device) -> (Transformer, Params) {
        let config = Config::gpt2(self.vocab, self.context, self.layers, self.channels, self.heads);
        let model::Model { net, params } = model::Model::new(&config, head, Rng::new(1).stream(name), device);
        (net, params.multiply_in(self.precision))
    }

    /// Forward, backward and AdamW on a full batch of random tokens.
    pub fn training_step(self, device: &Device) -> impl FnMut() {
        let (net, params) = self.model(HeadKind::Lm, "policy", device);
        let row = |i: usize| Example::text(self.tokens(&format!("row {i}"), self.context));
        let rows: Vec<Example> = (0..self.batch).map(row).collect();
        let mut learner = Learner::new(params, AdamWConfig::default(), 1.0);
        move || {
            let batch: Vec<&Example> = rows.iter().collect();
            let losses = lm::accumulate(&net, &mut learner, &batch, usize::MAX, 1.0, None);
            let (norm, loss) = learner.step_and_read(1e-4, &losses);
            norm.expect("random numbers are finite");
            assert!(loss.is_finite());
        }
    }

    /// Seconds of such a step: median, minimum, maximum.
    pub fn time_training(self, device: &Device) -> [f64; 3] {
        timed(7, 60.0, self.training_step(device))
    }

    fn tokens(&self, name: &str, n: usize) -> Vec<u32> {
        tokens(self.vocab, name, n)
    }
}

fn tokens(vocab: usize, name: &str, n: usize) -> Vec<u32> {
    let mut draws = Rng::new(2).stream(name).draws();
    (0..n).map(|_| 1 + draws.below(vocab - 1) as u32).collect()
}

/// What is printed, or becomes the JSON object.
pub type Figures = Map<String, Value>;

pub fn report(mut figures: Figures, common: &Common) {
    figures.insert("peak_memory_bytes".into(), json!(peak_memory_bytes()));
    if common.json {
        println!("{}", Value::Object(figures));
    } else {
        figures.iter().for_each(|(name, value)| println!("{name:<24} {}", plain(value)));
    }
}

fn plain(value: &Value) -> String {
    match value.as_f64() {
        Some(v) if value.is_f64() => format!("{v:.3}"),
        _ => value.to_string().trim_matches('"').to_string(),
    }
}

/// Median, minimum and maximum of at least five timed calls, within about `budget` seconds.
fn timed(runs: usize, budget: f64, mut work: impl FnMut()) -> [f64; 3] {
    // for a while: a GPU that has had nothing to do runs at a fraction of its clock
    let begin = Instant::now();
    while begin.elapsed().as_secs_f64() < 0.5 {
        work();
    }
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < runs && (times.len() < 5 || begin.elapsed().as_secs_f64() < budget) {
        let start = Instant::now();
        work();
        times.push(start.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[0], times[times.len() - 1]]
}

fn figures(name: &str, size: &str, precision: Precision, device: &Device, seconds: [f64; 3]) -> Figures {
    let mut out = Map::new();
    out.insert("name".into(), json!(name));
    out.insert("size".into(), json!(size));
    out.insert("device".into(), json!(device.name()));
    out.insert("precision".into(), json!(precision.name()));
    out.insert("seconds".into(), json!(seconds[0]));
    out.insert("seconds_min".into(), json!(seconds[1]));
    out.insert("seconds_max".into(), json!(seconds[2]));
    out
}

/// Forward, backward and AdamW on a full batch of random tokens.
pub fn train(size: &str, precision: Precision, device: &Device) -> Result<Figures> {
    let shape = shape(size, precision)?;
    let seconds = shape.time_training(device);
    let mut out = figures("train", size, precision, device, seconds);
    out.insert("tokens_per_second".into(), json!((shape.batch * shape.context) as f64 / seconds[0]));
    Ok(out)
}

/// 64 tokens after a prompt of 32, at temperature 1: one answer, 32 and 64 side by side, by a fresh model of that size
/// or one that is there.
pub fn generation(size: &str, model: Option<&Path>, precision: Precision, device: &Device) -> Result<Figures> {
    const NEW: usize = 64;
    let (net, params) = match model {
        None => shape(size, precision)?.model(HeadKind::Lm, "policy", device),
        Some(path) => {
            let loaded = loading::open(path, HeadKind::Lm, device)?.loaded;
            (loaded.net, loaded.params.multiply_in(precision))
        }
    };
    let size = model.map_or(size.into(), |path| path.display().to_string());
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0 };
    let measure = |batch: usize| {
        let prompts: Vec<Vec<u32>> = (0..batch).map(|i| tokens(net.config.vocab, &format!("prompt {i}"), 32)).collect();
        let config = GenerateConfig { max_new_tokens: NEW, sampling, eos_ids: Vec::new(), batch };
        timed(7, 30.0, || {
            drop(
                model::generate(&net, &params.decoding(), &prompts, &config, Rng::new(3), None, |_, _| true)
                    .expect("a good request"),
            )
        })
    };
    let many = measure(32);
    let mut out = figures("generate", &size, precision, device, many);
    out.insert("batch".into(), json!(32));
    out.insert("tokens_per_second".into(), json!(32.0 * NEW as f64 / many[0]));
    for batch in [1, 64] {
        let rate = (batch * NEW) as f64 / measure(batch)[0];
        out.insert(format!("tokens_per_second_batch_{batch}"), json!(rate));
    }
    Ok(out)
}

/// One iteration: 64 episodes, prompt 32, answer 48, 4 epochs, minibatch 16; policy, value, reference and reward
/// networks of that size. Once with answers of full length, once with ends drawn at random: nothing is padded.
pub fn ppo(size: &str, precision: Precision, device: &Device) -> Result<Figures> {
    let shape = shape(size, precision)?;
    let mut phases = [0.0; 2];
    let full = ppo_iteration(&shape, &[], device, &mut phases);
    let mut out = figures("ppo", size, precision, device, full);
    out.insert("seconds_per_iteration".into(), json!(full[0]));
    out.insert("seconds_rollout".into(), json!(phases[0]));
    out.insert("seconds_update".into(), json!(phases[1]));
    // A fresh model's tokens are nearly uniform: with every 24th an end, answers have 21 tokens on average.
    let ends: Vec<u32> = (0..shape.vocab as u32).step_by(24).collect();
    let unequal = ppo_iteration(&shape, &ends, device, &mut phases);
    out.insert("seconds_per_iteration_unequal".into(), json!(unequal[0]));
    Ok(out)
}

/// Notes the seconds of the last iteration's phases: rollout and update.
fn ppo_iteration(shape: &Shape, eos: &[u32], device: &Device, phases: &mut [f64; 2]) -> [f64; 3] {
    let (net, params) = shape.model(HeadKind::Lm, "policy", device);
    let (score, value) = shape.model(HeadKind::Score, "value", device);
    let (_, reward_params) = shape.model(HeadKind::Score, "reward", device);
    let prompts: Vec<Vec<u32>> = (0..64).map(|i| shape.tokens(&format!("prompt {i}"), 32)).collect();
    let mut config = ppo::Config {
        episodes: 64,
        batch: 64,
        minibatch: 16,
        epochs: 4,
        value_lr: 1e-5,
        missing_eos_penalty: 0.0,
        ..ppo::Config::default()
    };
    (config.optim.lr, config.sampling.max_new_tokens) = (1e-5, 48);
    let reward = rm::reward(&score, &reward_params, config.compute.token_budget);
    let noted = Rc::new(Cell::new(*phases));
    let seconds = timed(5, 60.0, || {
        let models = Models {
            policy: &net,
            policy_params: params.clone(),
            reference: (&net, &params),
            value: &score,
            value_params: value.clone(),
            reward: &reward,
            eos_ids: eos,
        };
        let noted = noted.clone();
        let note = move |step: &Step| {
            let of = |name| step.metrics.iter().find(|m| m.0 == name).map_or(f64::NAN, |m| m.1);
            noted.set(["time/rollout", "time/update"].map(of));
        };
        let mut run = Run { on_step: Box::new(note), ..Run::quiet() };
        ppo::train(models, &prompts, &[], &config, Rng::new(4), &mut run).expect("random numbers are finite");
    });
    *phases = noted.get();
    seconds
}
