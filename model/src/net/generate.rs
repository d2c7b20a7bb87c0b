//! Generation: completions of many prompts, as a loop over the [`Engine`].
use super::engine::{Engine, Finish, Request, check};
use super::transformer::Transformer;
use crate::error::Result;
use autograd::Weights;
use kernels::{Rng, Sampling};

/// How prompts are answered.
#[derive(Clone, Debug)]
pub struct GenerateConfig {
    /// No answer has more tokens.
    pub max_new_tokens: usize,
    /// Temperature, top-k and top-p.
    pub sampling: Sampling,
    /// An answer ends with any of these, which is part of it.
    pub eos_ids: Vec<u32>,
    /// Sequences at a time.
    pub batch: usize,
}

/// A completion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// With its end token, if it has one.
    pub tokens: Vec<u32>,
    /// Of each token: log softmax(logits / temperature) before top-k and top-p (greedy: temperature 1).
    pub logprobs: Vec<f32>,
    /// Did it end with an end token, or was it cut at `max_new_tokens`?
    pub ended: bool,
}

/// Answers every prompt. `streams` tells the random numbers of one prompt from those of another (default: its
/// index). `on_token(prompt, token)` is called as each token is drawn, and says
/// whether its answer goes on.
///
/// # Errors
/// A prompt that is empty, has an id that is not in the vocabulary, or with the new tokens exceeds the context; logits
/// that are not finite.
///
/// # Panics
/// Where the network's head is a score.
pub fn generate(
    net: &Transformer,
    w: &Weights,
    prompts: &[Vec<u32>],
    config: &GenerateConfig,
    rng: Rng,
    streams: Option<&[u32]>,
    mut on_token: impl FnMut(usize, u32) -> bool,
) -> Result<Vec<Generated>> {
    let max_new_tokens = config.max_new_tokens;
    for (i, prompt) in prompts.iter().enumerate() {
        check(net, i, prompt, max_new_tokens, net.config.context)?;
    }
    let mut answers = vec![Generated::default(); prompts.len()];
    if prompts.is_empty() || max_new_tokens == 0 {
        return Ok(answers);
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + max_new_tokens;
    let mut engine = Engine::new(net, w, config.batch.clamp(1, prompts.len()), longest);
    for (i, prompt) in prompts.iter().enumerate() {
        let (prompt, eos_ids) = (prompt.clone(), config.eos_ids.clone());
        let stream = streams.map_or(i as u32, |streams| streams[i]);
        engine.admit(Request { prompt, sampling: config.sampling, eos_ids, max_new_tokens, rng, stream })?;
    }
    while !engine.is_idle() {
        for event in engine.step()? {
            let answer = &mut answers[event.id]; // admitted in order
            answer.tokens.push(event.token);
            answer.logprobs.push(event.logprob);
            answer.ended = event.finish == Some(Finish::Eos);
            if !on_token(event.id, event.token) {
                engine.cancel(event.id);
            }
        }
    }
    Ok(answers)
}
