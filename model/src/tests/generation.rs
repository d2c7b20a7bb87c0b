//! Generation: what is drawn depends on the prompt and its stream alone, and ends where it should.
use super::{close, gpt2, llama, shaken, texts};
use crate::{Config, GenerateConfig, Generated, HeadKind, Model, Transformer, generate, score};
use autograd::{Params, Weights};
use kernels::{Device, Precision, Rng, Sampling, Tensor};
use std::time::Instant;

fn answers(model: &Transformer, params: &Params, prompts: &[Vec<u32>], config: &GenerateConfig) -> Vec<Generated> {
    generate(model, &params.frozen(), prompts, config, Rng::new(8), None, |_, _| true).unwrap()
}

fn config(batch: usize) -> GenerateConfig {
    let sampling = Sampling { temperature: 0.8, top_k: 30, top_p: 0.95 };
    GenerateConfig { max_new_tokens: 20, sampling, eos_ids: vec![0, 7, 9], batch }
}

#[test]
fn answers_do_not_depend_on_the_batch() {
    for arch in [gpt2(), llama()] {
        let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
        let mut prompts = texts(&[3, 20, 1, 7, 28, 5, 11, 2], arch.vocab);
        for again in [1, 1, 5] {
            prompts.insert(again, prompts[again].clone()); // read once for both, answered each by itself
        }
        let alone = answers(&model, &params, &prompts, &config(1));
        for batch in [2, 3, 8, 100] {
            for (a, b) in alone.iter().zip(answers(&model, &params, &prompts, &config(batch))) {
                assert_eq!((&a.tokens, a.ended), (&b.tokens, b.ended), "batch {batch}");
                close(&a.logprobs, &b.logprobs, 2e-5);
            }
        }
        let ended = alone.iter().filter(|a| a.ended).count();
        assert!(ended > 0 && ended < alone.len(), "the test wants both kinds, got {ended} ended");
    }
}

#[test]
fn answers_end_at_an_end_token_or_at_the_limit() {
    let arch = gpt2();
    let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
    let config = config(4);
    for answer in answers(&model, &params, &texts(&[4; 30], arch.vocab), &config) {
        let (last, before) = answer.tokens.split_last().unwrap();
        assert_eq!(answer.ended, config.eos_ids.contains(last));
        assert!(answer.ended || answer.tokens.len() == config.max_new_tokens);
        assert!(before.iter().all(|token| !config.eos_ids.contains(token)));
        assert_eq!(answer.tokens.len(), answer.logprobs.len());
    }
}

#[test]
fn log_probabilities_are_those_of_a_forward_pass() {
    for arch in [gpt2(), llama()] {
        let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
        let prompts = texts(&[3, 9, 14], arch.vocab);
        for temperature in [0.6, 1.0] {
            let config = GenerateConfig { sampling: Sampling::temperature(temperature), ..config(2) };
            for (prompt, answer) in prompts.iter().zip(answers(&model, &params, &prompts, &config)) {
                let whole = [prompt.clone(), answer.tokens].concat();
                let all = score::logprobs(&model, &params.frozen(), &[whole], temperature, 1000).unwrap();
                close(&all[0][prompt.len() - 1..], &answer.logprobs, 5e-5);
            }
        }
    }
}

/// Weights packed for decoding give what products of the same precision give, but for the order of sums.
#[test]
fn decoding_from_packed_weights() {
    for arch in [gpt2(), llama()] {
        let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
        let params = params.multiply_in(Precision::Bf16);
        let prompts = texts(&[3, 9, 14], arch.vocab);
        let answer = |w: &Weights| generate(&model, w, &prompts, &config(3), Rng::new(8), None, |_, _| true).unwrap();
        let (stored, frozen) = (answer(&params.decoding()), answer(&params.frozen()));
        let same = stored.iter().zip(&frozen).filter(|(a, b)| a.tokens == b.tokens).count();
        assert!(same >= 2, "{same} of 3 answers agree"); // rounding may turn one near the edge
        for (a, b) in stored.iter().zip(&frozen).filter(|(a, b)| a.tokens == b.tokens) {
            close(&a.logprobs, &b.logprobs, 3e-2);
        }
        assert_ne!(frozen, answer(&params.clone().multiply_in(Precision::F32).frozen()));
    }
}

#[test]
fn streams_and_callback() {
    let arch = gpt2();
    let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
    let w = params.frozen();
    let prompts = vec![vec![5, 6]; 3];
    let mut seen = vec![Vec::new(); 3];
    let on_token = |prompt: usize, token: u32| {
        seen[prompt].push(token);
        true
    };
    let got = generate(&model, &w, &prompts, &config(2), Rng::new(1), Some(&[4, 5, 4]), on_token).unwrap();
    assert_eq!(got.iter().map(|a| a.tokens.clone()).collect::<Vec<_>>(), seen);
    assert_eq!(got[0].tokens, got[2].tokens); // one prompt, one stream: one answer
    assert_ne!(got[0].tokens, got[1].tokens);
    let one =
        generate(&model, &w, &prompts, &config(2), Rng::new(1), Some(&[4, 5, 4]), |prompt, _| prompt != 1).unwrap();
    assert_eq!(one[1].tokens, got[1].tokens[..1], "it was not to go on");
    assert_eq!(one[2].tokens, got[2].tokens, "the others do");
}

#[test]
fn impossible_requests_are_errors() {
    let arch = gpt2(); // context 48, vocabulary 61
    let Model { net: model, params } = shaken(&arch, HeadKind::Lm);
    for (prompt, says) in
        [(vec![1; 29], "at most 19 new"), (vec![1; 60], "Shorten"), (vec![], "no tokens"), (vec![61], "61")]
    {
        let error = generate(&model, &params.frozen(), &[vec![1], prompt], &config(2), Rng::new(1), None, |_, _| true);
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says) && error.contains('1'), "{error}");
    }
    assert!(answers(&model, &params, &[], &config(2)).is_empty());
    let nothing = GenerateConfig { max_new_tokens: 0, ..config(2) };
    assert!(answers(&model, &params, &[vec![1]], &nothing)[0].tokens.is_empty());
}

/// Tokens a second of a rollout, and how much of the time the matrix products alone would take.
/// cargo test -p rlhf-model --lib --release speed_of_generation -- --ignored --nocapture
#[test]
#[ignore = "a measurement"]
fn speed_of_generation() {
    for (layers, c, batch) in [(2, 64, 128), (4, 128, 128), (6, 192, 128), (6, 192, 16)] {
        let arch = Config::gpt2(1024, 128, layers, c, c / 32);
        let Model { net: model, params } = Model::new(&arch, HeadKind::Lm, Rng::new(0), &Device::Cpu);
        let prompts = texts(&vec![24; 2 * batch], arch.vocab);
        let config =
            GenerateConfig { max_new_tokens: 48, sampling: Sampling::temperature(0.7), eos_ids: vec![], batch };
        let mut best = f64::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            answers(&model, &params, &prompts, &config);
            best = best.min(start.elapsed().as_secs_f64());
        }
        let tokens = prompts.len() * config.max_new_tokens;
        let w = params.frozen();
        let weights: Vec<&Tensor> = params.iter().filter(|p| p.2.len() == 2).map(|p| w[p.0].value()).collect();
        let start = Instant::now();
        for _ in 0..2 * config.max_new_tokens {
            for weight in weights.iter().filter(|w| w.shape()[0] != arch.context) {
                kernels::linear(&Tensor::zeros(&Device::Cpu, &[batch, weight.shape()[1]]), weight, None);
            }
        }
        let products = start.elapsed().as_secs_f64();
        println!(
            "L {layers} C {c} batch {batch}: {:.0} tokens/s, {:.1} ms a step, products {:.0} %",
            tokens as f64 / best,
            1e3 * best / (2 * config.max_new_tokens) as f64,
            100.0 * products / best
        );
    }
}
