//! Whole steps on the CPU with the model sizes of recipe mini: `cargo bench --bench train`.
//! Criterion's "elem/s" are tokens a second.

use autograd::AdamWConfig;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Device, Rng, Sampling};
use model::{Config, GenerateConfig, HeadKind, Model, generate};
use rlhf_core::{data::Example, lm, train::Learner};

const VOCAB: usize = 512;

/// Name and model of the two sizes.
fn models() -> [(&'static str, Config); 2] {
    [("S", Config::gpt2(VOCAB, 128, 2, 64, 4)), ("L", Config::gpt2(VOCAB, 128, 4, 192, 6))]
}

/// `count` sequences of 12 to 52 tokens.
fn sequences(count: usize) -> Vec<Vec<u32>> {
    let mut draws = Rng::new(1).draws();
    let mut sequence = || (0..12 + draws.below(41)).map(|_| draws.below(VOCAB) as u32).collect();
    (0..count).map(|_| sequence()).collect()
}

/// Forward, backward and AdamW.
fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let examples: Vec<Example> = sequences(64).into_iter().map(Example::text).collect();
    let examples: Vec<&Example> = examples.iter().collect();
    let tokens = examples.iter().map(|e| e.tokens.len()).sum::<usize>();
    group.throughput(Throughput::Elements(tokens as u64));
    for (name, config) in models() {
        let Model { net: model, params } = Model::new(&config, HeadKind::Lm, Rng::new(2), &Device::Cpu);
        let mut learner = Learner::new(params, AdamWConfig::default(), 1.0);
        for (kind, dropout) in [("", None), (" dropout", Some((0.2, Rng::new(3))))] {
            group.bench_function(format!("{name}{kind}, {tokens} tokens"), |b| {
                b.iter(|| {
                    lm::accumulate(&model, &mut learner, &examples, 4096, 1.0, dropout);
                    learner.step(1e-4).expect("finite")
                })
            });
        }
        let params = learner.params.clone();
        group.bench_function(format!("{name} logprobs only, {tokens} tokens"), |b| {
            let sequences: Vec<Vec<u32>> = examples.iter().map(|e| e.tokens.clone()).collect();
            b.iter(|| lm::logprobs(&model, &params, &sequences, 4096))
        });
    }
    group.finish();
}

/// Answers of 32 tokens to 64 prompts of 16, at once.
fn sampling(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    let prompts: Vec<Vec<u32>> = sequences(64).into_iter().map(|s| s.into_iter().cycle().take(16).collect()).collect();
    group.throughput(Throughput::Elements(64 * 32));
    for (name, config) in models() {
        let Model { net: model, params } = Model::new(&config, HeadKind::Lm, Rng::new(2), &Device::Cpu);
        let how =
            GenerateConfig { max_new_tokens: 32, sampling: Sampling::temperature(1.0), eos_ids: Vec::new(), batch: 64 };
        group.bench_function(format!("{name}, 64 x 32 tokens"), |b| {
            b.iter(|| generate(&model, &params.frozen(), &prompts, &how, Rng::new(4), None, |_, _| true))
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(2))
        .warm_up_time(std::time::Duration::from_millis(300));
    targets = step, sampling
}
criterion_main!(benches);
