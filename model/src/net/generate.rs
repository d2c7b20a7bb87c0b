//! Writing on from prompts, many at a time: a slot whose answer has ended takes the next prompt.
//!
//! What is drawn for a prompt depends on the weights, the generator and the prompt's stream, not on which
//! other prompts are being answered beside it.
use super::cache::{Cache, Shared};
use super::transformer::Transformer;
use crate::error::{ModelError, Result};
use autograd::{Weights, ops};
use kernels::{Ids, Rng, Sampling, sample};

/// New prompts are read in as long as a step has fewer tokens than this.
const STEP_TOKENS: usize = 4096;

#[derive(Clone, Debug)]
pub struct GenerateConfig {
    /// No answer has more tokens.
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    /// An answer ends with any of these, which is part of it.
    pub eos_ids: Vec<u32>,
    /// Sequences at a time.
    pub batch: usize,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    pub tokens: Vec<u32>,
    /// Of each token: log softmax(logits / temperature) before top-k and top-p (greedy: temperature 1).
    pub logprobs: Vec<f32>,
    /// Did it end with an end token, or was it cut at `max_new_tokens`?
    pub ended: bool,
}

/// Answer every prompt. `streams` tells the random numbers of one prompt from those of another (default: its
/// index). `on_token(prompt, token)` is called as each token is drawn.
pub fn generate(
    model: &Transformer,
    w: &Weights,
    prompts: &[Vec<u32>],
    config: &GenerateConfig,
    rng: Rng,
    streams: Option<&[u32]>,
    mut on_token: impl FnMut(usize, u32),
) -> Result<Vec<Generated>> {
    check(model, prompts, config)?;
    let stream = |prompt: usize| streams.map_or(prompt as u32, |s| s[prompt]);
    let mut answers = vec![Generated { tokens: Vec::new(), logprobs: Vec::new(), ended: false }; prompts.len()];
    if config.max_new_tokens == 0 {
        return Ok(answers);
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0) + config.max_new_tokens; // checked: within the context
    let slots = config.batch.clamp(1, prompts.len().max(1));
    let mut cache = Cache::new(model, slots, longest, &w.device());
    let mut free: Vec<usize> = (0..slots).rev().collect();
    let mut busy: Vec<Answering> = Vec::new();
    let mut waiting = 0..prompts.len();
    loop {
        let mut step = Step::default();
        for one in &busy {
            let last = *answers[one.prompt].tokens.last().expect("drawn in an earlier step");
            step.push(one, &[last], prompts[one.prompt].len() + answers[one.prompt].tokens.len() - 1);
        }
        let mut before: Option<usize> = None; // the prompt that came into this step last
        while step.tokens.len() < STEP_TOKENS && !free.is_empty() {
            let Some(prompt) = waiting.next() else { break };
            let one = Answering { prompt, slot: free.pop().expect("not empty") };
            match before {
                Some(before) if prompts[before] == prompts[prompt] => step.push_again(&one, prompts[prompt].len()),
                _ => step.push(&one, &prompts[prompt], 0),
            }
            before = Some(prompt);
            busy.push(one);
        }
        if busy.is_empty() {
            return Ok(answers);
        }
        let streams: Vec<u32> = busy.iter().map(|one| stream(one.prompt)).collect();
        let (tokens, logprobs) = step.draw(model, w, &mut cache, config, rng, &streams);
        if let Some(at) = logprobs.iter().position(|logprob| !logprob.is_finite()) {
            let (prompt, place) = (busy[at].prompt, answers[busy[at].prompt].tokens.len() + 1);
            let what = format!("a logit of token {place} of the answer to prompt {}", prompt + 1);
            return Err(ModelError::NotFinite { what });
        }
        for ((one, &token), &logprob) in busy.iter().zip(&tokens).zip(&logprobs) {
            let answer = &mut answers[one.prompt];
            answer.tokens.push(token);
            answer.logprobs.push(logprob);
            answer.ended = config.eos_ids.contains(&token);
            on_token(one.prompt, token);
        }
        busy.retain(|one| {
            let more = !answers[one.prompt].ended && answers[one.prompt].tokens.len() < config.max_new_tokens;
            if !more {
                free.push(one.slot);
            }
            more
        });
    }
}

/// A prompt that is being answered, and its slot of the cache.
struct Answering {
    prompt: usize,
    slot: usize,
}

/// The tokens of one pass: whole prompts of new sequences, the last drawn token of the others.
#[derive(Default)]
struct Step {
    tokens: Vec<u32>,
    slots: Vec<u32>,
    positions: Vec<u32>,
    /// Row of the last token of each sequence.
    last: Vec<u32>,
    /// Prompts that several sequences have.
    shared: Shared,
}

impl Step {
    fn push(&mut self, one: &Answering, tokens: &[u32], from: usize) {
        self.tokens.extend(tokens);
        self.slots.extend(tokens.iter().map(|_| one.slot as u32));
        self.positions.extend((from..from + tokens.len()).map(|p| p as u32));
        self.last.push(self.tokens.len() as u32 - 1);
    }

    /// Another sequence with the prompt that was pushed last.
    fn push_again(&mut self, one: &Answering, len: usize) {
        let end = self.tokens.len();
        self.shared.rows.extend((end - len..end).map(|row| row as u32));
        self.shared.slots.extend((0..len).map(|_| one.slot as u32));
        self.shared.positions.extend((0..len).map(|p| p as u32));
        self.last.push(end as u32 - 1);
    }

    /// The next token of each sequence and its log-probability.
    fn draw(
        self,
        model: &Transformer,
        w: &Weights,
        cache: &mut Cache,
        config: &GenerateConfig,
        rng: Rng,
        streams: &[u32],
    ) -> (Vec<u32>, Vec<f32>) {
        // A token's random numbers go by the place it will have in its sequence.
        let places: Vec<u32> = self.last.iter().map(|&row| self.positions[row as usize] + 1).collect();
        let decoding = self.last.iter().copied().eq(0..self.tokens.len() as u32); // every row is somebody's last
        let (tokens, slots, positions) = (Ids::new(self.tokens), Ids::new(self.slots), Ids::new(self.positions));
        let hidden = model.step_shared(w, &tokens, &slots, &positions, self.shared, cache);
        let rows = if decoding { hidden } else { ops::index_select(&hidden, &Ids::new(self.last)) };
        let logits = model.logits(w, &rows);
        sample(logits.value(), &config.sampling, rng, streams, &places)
    }
}

fn check(model: &Transformer, prompts: &[Vec<u32>], config: &GenerateConfig) -> Result<()> {
    let (context, vocab) = (model.config.context, model.config.vocab);
    for (i, prompt) in prompts.iter().enumerate() {
        check_tokens(prompt, vocab, i)?;
        if prompt.is_empty() {
            let remedy = "Begin with the model's first token (bos, or else its end token).";
            return Err(ModelError::request(format!("prompt {i} has no tokens"), remedy));
        }
        if config.max_new_tokens > context.saturating_sub(prompt.len()) {
            let (have, new) = (prompt.len(), config.max_new_tokens);
            let problem = format!("prompt {i} has {have} tokens; with {new} new ones it exceeds the context {context}");
            let remedy = match context.saturating_sub(have) {
                0 => format!("Shorten it to less than {context} tokens."),
                room => format!("Shorten it, or ask for at most {room} new tokens."),
            };
            return Err(ModelError::request(problem, remedy));
        }
    }
    Ok(())
}

pub(crate) fn check_tokens(sequence: &[u32], vocab: usize, index: usize) -> Result<()> {
    match sequence.iter().find(|&&id| id as usize >= vocab) {
        None => Ok(()),
        Some(id) => {
            let problem = format!("sequence {index} has token {id}, the vocabulary has {vocab}");
            Err(ModelError::request(problem, "Encode the text with the tokenizer of this model."))
        }
    }
}
