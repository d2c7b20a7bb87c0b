//! The engine: requests that come, go and differ, each answered as if it were alone.
use super::{close, gpt2, llama, shaken, texts};
use crate::net::engine::{Engine, Event, Finish, Request};
use crate::{GenerateConfig, Generated, HeadKind, Model, generate};
use kernels::{Ids, Rng, Sampling, Segments};

/// Six requests that have nothing in common, but for two of the same prompt.
fn requests(vocab: usize) -> Vec<Request> {
    let sampling = [
        Sampling::GREEDY,
        Sampling { temperature: 0.8, top_k: 30, top_p: 0.95 },
        Sampling::temperature(1.3),
        Sampling { temperature: 0.8, top_k: 30, top_p: 0.95 },
    ];
    let mut prompts = texts(&[3, 17, 1, 9, 26], vocab);
    prompts.push(prompts[4].clone());
    let request = |(i, prompt): (usize, Vec<u32>)| Request {
        prompt,
        sampling: sampling[i % 4],
        eos_ids: vec![i as u32, 7, 40],
        max_new_tokens: 4 + 3 * i,
        rng: Rng::new(8 + i as u64 / 3),
        stream: 2 * i as u32,
    };
    prompts.into_iter().enumerate().map(request).collect()
}

/// What `generate` makes of a request by itself.
fn alone(Model { net, params }: &Model, request: &Request) -> Generated {
    let Request { prompt, sampling, eos_ids, max_new_tokens, rng, stream } = request.clone();
    let config = GenerateConfig { max_new_tokens, sampling, eos_ids, batch: 1 };
    generate(net, &params.frozen(), &[prompt], &config, rng, Some(&[stream]), |_, _| true).unwrap().remove(0)
}

fn add(answers: &mut [Generated], events: Vec<Event>) {
    for event in events {
        let answer = &mut answers[event.id];
        answer.tokens.push(event.token);
        answer.logprobs.push(event.logprob);
        answer.ended = event.finish == Some(Finish::Eos);
    }
}

#[track_caller]
fn same(found: &Generated, expected: &Generated) {
    assert_eq!((&found.tokens, found.ended), (&expected.tokens, expected.ended));
    close(&found.logprobs, &expected.logprobs, 2e-5);
}

#[test]
fn requests_that_come_while_others_run_are_answered_as_if_alone() {
    for config in [gpt2(), llama()] {
        let model = shaken(&config, HeadKind::Lm);
        let (requests, w) = (requests(config.vocab), model.params.frozen());
        for slots in [1, 2, 3, 6] {
            let mut engine = Engine::new(&model.net, &w, slots, 48);
            let mut answers = vec![Generated::default(); requests.len()];
            assert!(engine.is_idle() && engine.step().unwrap().is_empty());
            for (i, request) in requests.iter().enumerate() {
                assert_eq!(engine.admit(request.clone()).unwrap(), i);
                for _ in 0..i % 3 {
                    add(&mut answers, engine.step().unwrap());
                }
            }
            while !engine.is_idle() {
                let events = engine.step().unwrap();
                assert!(!events.is_empty() && events.len() <= slots);
                add(&mut answers, events);
            }
            requests.iter().zip(&answers).for_each(|(request, answer)| same(answer, &alone(&model, request)));
        }
    }
}

#[test]
fn a_request_that_is_cancelled_gives_its_slot_to_the_next() {
    let model = shaken(&llama(), HeadKind::Lm);
    let (requests, w) = (requests(61), model.params.frozen());
    let mut engine = Engine::new(&model.net, &w, 1, 48);
    for request in &requests[1..4] {
        engine.admit(request.clone()).unwrap();
    }
    assert_eq!(engine.step().unwrap().iter().map(|event| event.id).collect::<Vec<_>>(), [0]);
    assert!(engine.cancel(0) && engine.cancel(1)); // one that runs, one that waits
    assert!(!engine.cancel(0) && !engine.cancel(1) && !engine.cancel(9));
    let mut answers = vec![Generated::default(); 3];
    while !engine.is_idle() {
        add(&mut answers, engine.step().unwrap());
    }
    assert!(answers[0].tokens.is_empty() && answers[1].tokens.is_empty());
    same(&answers[2], &alone(&model, &requests[3]));
    assert!(!engine.cancel(2));
}

#[test]
fn greedy_takes_the_likeliest_token_of_a_forward_pass() {
    for config in [gpt2(), llama()] {
        let Model { net, params } = shaken(&config, HeadKind::Lm);
        let (w, mut engine_w) = (params.frozen(), Vec::new());
        let prompts = texts(&[5, 2, 12], config.vocab);
        let mut engine = Engine::new(&net, &w, 2, 48);
        for prompt in &prompts {
            let (sampling, rng) = (Sampling::GREEDY, Rng::new(0));
            let request =
                Request { prompt: prompt.clone(), sampling, eos_ids: vec![], max_new_tokens: 8, rng, stream: 0 };
            engine.admit(request).unwrap();
        }
        engine_w.resize(3, Generated::default());
        while !engine.is_idle() {
            add(&mut engine_w, engine.step().unwrap());
        }
        for (prompt, answer) in prompts.iter().zip(&engine_w) {
            let mut sequence = prompt.clone();
            for &token in &answer.tokens {
                let seg = Segments::from_lengths(&[sequence.len()]);
                let hidden = net.hidden(&w, &Ids::new(sequence.clone()), &seg, None);
                let logits = net.logits(&w, &hidden).value().to_vec();
                let last = &logits[logits.len() - config.vocab..];
                let likeliest = (0..config.vocab).max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
                assert_eq!(token as usize, likeliest);
                sequence.push(token);
            }
            assert_eq!((answer.tokens.len(), answer.ended), (8, false));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_when_it_is_admitted() {
    let model = shaken(&gpt2(), HeadKind::Lm); // context 48, vocabulary 61
    let w = model.params.frozen();
    let mut engine = Engine::new(&model.net, &w, 2, 20);
    let request = |prompt, max_new_tokens| Request { prompt, max_new_tokens, ..requests(61)[0].clone() };
    for (refused, says) in [
        (request(vec![1; 15], 6), "at most 5 new"),
        (request(vec![1; 20], 1), "Shorten it to less than 20"),
        (request(vec![], 1), "no tokens"),
        (request(vec![61], 1), "61"),
        (request(vec![1], 0), "asks for no tokens"),
    ] {
        let error = engine.admit(refused).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(engine.is_idle());
    assert_eq!(engine.admit(request(vec![1; 15], 5)).unwrap(), 0);
}
