//! Whole steps: training, generation, and one PPO iteration, at sizes that other programs are measured at.

use crate::cli::Common;
use crate::error::{Failure, Result};
use crate::runlog::environment::peak_memory_bytes;
use autograd::{AdamWConfig, Params};
use kernels::{Device, Rng, Sampling};
use model::{Config, GenerateConfig, HeadKind, Transformer};
use rlhf_core::data::Example;
use rlhf_core::ppo::{self, Ppo, PpoConfig};
use rlhf_core::rollout::Episode;
use rlhf_core::train::{Learner, Run};
use rlhf_core::{lm, rm};
use serde_json::{Map, Value, json};
use std::time::Instant;

struct Shape {
    layers: usize,
    channels: usize,
    heads: usize,
    context: usize,
    vocab: usize,
    batch: usize,
}

fn shape(size: &str) -> Result<Shape> {
    let of = |[layers, channels, heads, context, vocab, batch]: [usize; 6]| Shape {
        layers,
        channels,
        heads,
        context,
        vocab,
        batch,
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
        Transformer::new(&config, head, Rng::new(1).stream(name), device)
    }

    fn tokens(&self, name: &str, n: usize) -> Vec<u32> {
        let mut draws = Rng::new(2).stream(name).draws();
        (0..n).map(|_| 1 + draws.below(self.vocab - 1) as u32).collect()
    }
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
    work();
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

fn figures(name: &str, size: &str, device: &Device, seconds: [f64; 3]) -> Figures {
    let mut out = Map::new();
    out.insert("name".into(), json!(name));
    out.insert("size".into(), json!(size));
    out.insert("device".into(), json!(device.name()));
    out.insert("precision".into(), json!("f32"));
    out.insert("seconds".into(), json!(seconds[0]));
    out.insert("seconds_min".into(), json!(seconds[1]));
    out.insert("seconds_max".into(), json!(seconds[2]));
    out
}

/// Forward, backward and AdamW on a full batch of random tokens.
pub fn train(size: &str, device: &Device) -> Result<Figures> {
    let (tokens, step) = training(size, device)?;
    Ok(train_figures(size, device, tokens, step))
}

pub fn train_figures(size: &str, device: &Device, tokens: usize, step: impl FnMut()) -> Figures {
    let seconds = timed(7, 60.0, step);
    let mut out = figures("train", size, device, seconds);
    out.insert("tokens_per_second".into(), json!(tokens as f64 / seconds[0]));
    out
}

/// Tokens of a training step, and what makes one.
pub fn training(size: &str, device: &Device) -> Result<(usize, impl FnMut())> {
    let shape = shape(size)?;
    let (net, params) = shape.model(HeadKind::Lm, "policy", device);
    let row = |i: usize| Example::text(shape.tokens(&format!("row {i}"), shape.context));
    let rows: Vec<Example> = (0..shape.batch).map(row).collect();
    let mut learner = Learner::new(params, AdamWConfig::default(), 1.0);
    let step = move || {
        let batch: Vec<&Example> = rows.iter().collect();
        let losses = lm::accumulate(&net, &mut learner, &batch, usize::MAX, 1.0, None);
        let (norm, loss) = learner.step_and_read(1e-4, &losses);
        norm.expect("random numbers are finite");
        assert!(loss.is_finite());
    };
    Ok((shape.batch * shape.context, step))
}

/// 64 tokens after a prompt of 32, at temperature 1, one answer and 32 side by side.
pub fn generation(size: &str, device: &Device) -> Result<Figures> {
    const NEW: usize = 64;
    let shape = shape(size)?;
    let (net, params) = shape.model(HeadKind::Lm, "policy", device);
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0 };
    let measure = |batch: usize| {
        let prompts: Vec<Vec<u32>> = (0..batch).map(|i| shape.tokens(&format!("prompt {i}"), 32)).collect();
        let config = GenerateConfig { max_new: NEW, sampling, eos: Vec::new(), batch };
        timed(7, 30.0, || {
            drop(
                model::generate(&net, &params.frozen(), &prompts, &config, Rng::new(3), None, |_, _| ())
                    .expect("a good request"),
            )
        })
    };
    let one = measure(1);
    let many = measure(32);
    let mut out = figures("generate", size, device, many);
    out.insert("batch".into(), json!(32));
    out.insert("tokens_per_second".into(), json!(32.0 * NEW as f64 / many[0]));
    out.insert("tokens_per_second_batch_1".into(), json!(NEW as f64 / one[0]));
    Ok(out)
}

/// One iteration: 64 episodes, prompt 32, answer 48, 4 epochs, minibatch 16; policy, value, reference and reward
/// networks of that size.
pub fn ppo(size: &str, device: &Device) -> Result<Figures> {
    let shape = shape(size)?;
    let (net, params) = shape.model(HeadKind::Lm, "policy", device);
    let (score, value) = shape.model(HeadKind::Score, "value", device);
    let (_, reward_params) = shape.model(HeadKind::Score, "reward", device);
    let prompts: Vec<Vec<u32>> = (0..64).map(|i| shape.tokens(&format!("prompt {i}"), 32)).collect();
    let config = PpoConfig {
        episodes: 64,
        batch: 64,
        minibatch: 16,
        epochs: 4,
        max_new: 48,
        lr: 1e-5,
        value_lr: 1e-5,
        missing_end_penalty: 0.0,
        ..PpoConfig::default()
    };
    let reward = |episodes: &[Episode]| {
        let sequences: Vec<Vec<u32>> = episodes.iter().map(Episode::sequence).collect();
        rm::score(&score, &reward_params, &sequences, config.token_budget)
    };
    let seconds = timed(5, 60.0, || {
        let players = Ppo {
            policy: &net,
            policy_params: params.clone(),
            reference: (&net, &params),
            value: &score,
            value_params: value.clone(),
            reward: &reward,
            eos: &[],
        };
        ppo::train(players, &prompts, &[], &config, Rng::new(4), &mut Run::quiet()).expect("random numbers are finite");
    });
    let mut out = figures("ppo", size, device, seconds);
    out.insert("seconds_per_iteration".into(), json!(seconds[0]));
    Ok(out)
}
