//! Generation: what is drawn depends on the prompt and its stream alone, and ends where it should.
use super::{close, gpt2, llama, shaken, texts};
use crate::{GenerateConfig, Generated, HeadKind, Transformer, generate, score};
use autograd::Params;
use kernels::{Rng, Sampling};

fn answers(model: &Transformer, params: &Params, prompts: &[Vec<u32>], config: &GenerateConfig) -> Vec<Generated> {
    generate(model, &params.frozen(), prompts, config, Rng::new(8), None, |_, _| {}).unwrap()
}

fn config(batch: usize) -> GenerateConfig {
    let sampling = Sampling { temperature: 0.8, top_k: 30, top_p: 0.95 };
    GenerateConfig { max_new: 20, sampling, eos: vec![0, 7, 9], batch }
}

#[test]
fn answers_do_not_depend_on_the_batch() {
    for arch in [gpt2(), llama()] {
        let (model, params) = shaken(&arch, HeadKind::Lm);
        let prompts = texts(&[3, 20, 1, 7, 28, 5, 11, 2], arch.vocab);
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
    let (model, params) = shaken(&arch, HeadKind::Lm);
    let config = config(4);
    for answer in answers(&model, &params, &texts(&[4; 30], arch.vocab), &config) {
        let (last, before) = answer.tokens.split_last().unwrap();
        assert_eq!(answer.ended, config.eos.contains(last));
        assert!(answer.ended || answer.tokens.len() == config.max_new);
        assert!(before.iter().all(|token| !config.eos.contains(token)));
        assert_eq!(answer.tokens.len(), answer.logprobs.len());
    }
}

#[test]
fn log_probabilities_are_those_of_a_forward_pass() {
    for arch in [gpt2(), llama()] {
        let (model, params) = shaken(&arch, HeadKind::Lm);
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

#[test]
fn streams_and_callback() {
    let arch = gpt2();
    let (model, params) = shaken(&arch, HeadKind::Lm);
    let w = params.frozen();
    let prompts = vec![vec![5, 6]; 3];
    let mut seen = vec![Vec::new(); 3];
    let on_token = |prompt: usize, token: u32| seen[prompt].push(token);
    let got = generate(&model, &w, &prompts, &config(2), Rng::new(1), Some(&[4, 5, 4]), on_token).unwrap();
    assert_eq!(got.iter().map(|a| a.tokens.clone()).collect::<Vec<_>>(), seen);
    assert_eq!(got[0].tokens, got[2].tokens); // one prompt, one stream: one answer
    assert_ne!(got[0].tokens, got[1].tokens);
}

#[test]
fn impossible_requests_are_errors() {
    let arch = gpt2(); // context 48, vocabulary 61
    let (model, params) = shaken(&arch, HeadKind::Lm);
    for (prompt, says) in
        [(vec![1; 29], "at most 19 new"), (vec![1; 60], "Shorten"), (vec![], "no tokens"), (vec![61], "61")]
    {
        let error = generate(&model, &params.frozen(), &[vec![1], prompt], &config(2), Rng::new(1), None, |_, _| {});
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says) && error.contains('1'), "{error}");
    }
    assert!(answers(&model, &params, &[], &config(2)).is_empty());
    let nothing = GenerateConfig { max_new: 0, ..config(2) };
    assert!(answers(&model, &params, &[vec![1]], &nothing)[0].tokens.is_empty());
}
