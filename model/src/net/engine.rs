//! Engine of generation: continuous batching over the slots of a KV cache. Requests come in at any time; each step gives
//! every one that runs its next token, and a slot whose completion has ended takes the next request.
//!
//! What is drawn for a request depends on the weights and on its own generator and stream, not on which others run
//! beside it (but for rounding, where few rows become many).
use super::cache::{Cache, Shared};
use super::transformer::Transformer;
use crate::error::{ModelError, Result};
use autograd::{Weights, ops};
use kernels::{Ids, Rng, Sampling, Tensor, sample};
use std::collections::VecDeque;

/// New prompts are read in as long as a step has fewer tokens than this.
const STEP_TOKENS: usize = 4096;

/// Request: a prompt, and how its completion is drawn.
#[derive(Clone, Debug)]
pub struct Request {
    /// Ids, at least one.
    pub prompt: Vec<u32>,
    /// Temperature, top-k and top-p.
    pub sampling: Sampling,
    /// The completion ends with any of these, which is part of it.
    pub eos_ids: Vec<u32>,
    /// It has at most so many tokens, at least one.
    pub max_new_tokens: usize,
    /// The token at place n of the sequence is drawn by random numbers of generator, stream and n.
    pub rng: Rng,
    /// Tells requests with the same generator apart.
    pub stream: u32,
}

/// Number of a request: 0, 1, … in the order in which they were admitted.
pub type RequestId = usize;

/// A token of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Whose it is.
    pub id: RequestId,
    /// What was drawn.
    pub token: u32,
    /// log softmax(logits / temperature) of it, before top-k and top-p (greedy: temperature 1).
    pub logprob: f32,
    /// Set where it is the last.
    pub finish: Option<Finish>,
}

/// Finish reason of a completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// With an end token.
    Eos,
    /// At `max_new_tokens`.
    Length,
}

/// Engine: requests that wait, and those that run, each in a slot of the cache.
pub struct Engine<'a> {
    net: &'a Transformer,
    w: &'a Weights,
    cache: Cache,
    /// Tokens that a slot holds.
    length: usize,
    free: Vec<usize>,
    running: Vec<Running>,
    waiting: VecDeque<(RequestId, Request)>,
    admitted: usize,
}

/// A request in its slot.
struct Running {
    id: RequestId,
    request: Request,
    slot: usize,
    /// How many tokens were drawn, and the last of them.
    drawn: usize,
    last: u32,
}

impl<'a> Engine<'a> {
    /// An engine that runs up to `slots` requests side by side, each of at most `length` tokens with its prompt.
    ///
    /// # Panics
    /// Where there is no slot, or the network's head is a score (at the first step).
    #[track_caller]
    pub fn new(net: &'a Transformer, w: &'a Weights, slots: usize, length: usize) -> Engine<'a> {
        assert!(slots > 0, "an engine without slots would never answer");
        let cache = Cache::new(net, slots, length, &w.device());
        let free = (0..slots).rev().collect();
        Engine { net, w, cache, length, free, running: Vec::new(), waiting: VecDeque::new(), admitted: 0 }
    }

    /// Takes a request, to be started as soon as there is a slot.
    ///
    /// # Errors
    /// A prompt that is empty, has an id that is not in the vocabulary, or with the new tokens does not fit.
    pub fn admit(&mut self, request: Request) -> Result<RequestId> {
        let (id, most) = (self.admitted, self.length.min(self.net.config.context));
        check(self.net, id, &request.prompt, request.max_new_tokens, most)?;
        if request.max_new_tokens == 0 {
            return Err(ModelError::request(format!("prompt {id} asks for no tokens"), "Ask for at least one."));
        }
        self.waiting.push_back((id, request));
        self.admitted += 1;
        Ok(id)
    }

    /// Ends a request: it has no more events, and the next one takes its slot. Was it there?
    pub fn cancel(&mut self, id: RequestId) -> bool {
        if let Some(at) = self.running.iter().position(|one| one.id == id) {
            self.free.push(self.running.remove(at).slot);
            return true;
        }
        let before = self.waiting.len();
        self.waiting.retain(|(other, _)| *other != id);
        self.waiting.len() < before
    }

    /// Is there nothing to do?
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// One pass through the network: the next token of every request that runs, those that it starts among them. Waits
    /// for the device.
    ///
    /// # Errors
    /// Logits that are not finite.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        let mut pass = Pass::default();
        for one in &self.running {
            pass.push(one.slot, &[one.last], one.request.prompt.len() + one.drawn - 1);
        }
        self.start(&mut pass);
        if self.running.is_empty() {
            return Ok(Vec::new());
        }
        let (tokens, logprobs) = self.draw(pass);
        if let Some(at) = logprobs.iter().position(|logprob| !logprob.is_finite()) {
            let (prompt, place) = (self.running[at].id + 1, self.running[at].drawn + 1);
            let what = format!("a logit of token {place} of the answer to prompt {prompt}");
            return Err(ModelError::NotFinite { what });
        }
        let mut events = Vec::with_capacity(self.running.len());
        for ((one, token), logprob) in self.running.iter_mut().zip(tokens).zip(logprobs) {
            (one.last, one.drawn) = (token, one.drawn + 1);
            let finish = match one.request.eos_ids.contains(&token) {
                true => Some(Finish::Eos),
                false => (one.drawn == one.request.max_new_tokens).then_some(Finish::Length),
            };
            events.push(Event { id: one.id, token, logprob, finish });
        }
        let mut finished = events.iter().map(|event| event.finish.is_some());
        self.running.retain(|one| {
            let finished = finished.next().expect("an event each");
            if finished {
                self.free.push(one.slot);
            }
            !finished
        });
        Ok(events)
    }

    /// Requests that wait take the free slots, and their prompts go into the pass.
    fn start(&mut self, pass: &mut Pass) {
        let first = self.running.len();
        while pass.tokens.len() < STEP_TOKENS && !self.free.is_empty() {
            let Some((id, request)) = self.waiting.pop_front() else { break };
            let slot = self.free.pop().expect("not empty");
            match self.running[first..].last() {
                Some(before) if before.request.prompt == request.prompt => pass.push_again(slot, request.prompt.len()),
                _ => pass.push(slot, &request.prompt, 0),
            }
            self.running.push(Running { id, request, slot, drawn: 0, last: 0 });
        }
    }

    /// The next token of each running request and its log-probability.
    fn draw(&mut self, pass: Pass) -> (Vec<u32>, Vec<f32>) {
        // A token's random numbers go by the place it will have in its sequence.
        let places: Vec<u32> = pass.last.iter().map(|&row| pass.positions[row as usize] + 1).collect();
        let decoding = pass.last.iter().copied().eq(0..pass.tokens.len() as u32); // every row is somebody's last
        let (tokens, slots, positions) = (Ids::new(pass.tokens), Ids::new(pass.slots), Ids::new(pass.positions));
        let hidden = self.net.step_shared(self.w, &tokens, &slots, &positions, pass.shared, &mut self.cache);
        let rows = if decoding { hidden } else { ops::index_select(&hidden, &Ids::new(pass.last)) };
        self.sample(self.net.logits(self.w, &rows).value(), &places)
    }

    /// A token for each row of logits [R, V], rows that are drawn alike in one go.
    fn sample(&self, logits: &Tensor, places: &[u32]) -> (Vec<u32>, Vec<f32>) {
        let (mut tokens, mut logprobs) = (vec![0; places.len()], vec![0.0; places.len()]);
        let how = |row: usize| (self.running[row].request.sampling, self.running[row].request.rng);
        let mut rest: Vec<usize> = (0..places.len()).collect();
        while let Some(&first) = rest.first() {
            let (rows, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|&row| how(row) == how(first));
            let logits = match rows.len() == places.len() {
                true => logits.clone(),
                false => kernels::index_select(logits, &rows.iter().map(|&row| row as u32).collect::<Vec<_>>().into()),
            };
            let streams: Vec<u32> = rows.iter().map(|&row| self.running[row].request.stream).collect();
            let places: Vec<u32> = rows.iter().map(|&row| places[row]).collect();
            let (sampling, rng) = how(first);
            let drawn = sample(&logits, &sampling, rng, &streams, &places);
            for ((row, token), logprob) in rows.into_iter().zip(drawn.0).zip(drawn.1) {
                (tokens[row], logprobs[row]) = (token, logprob);
            }
            rest = others;
        }
        (tokens, logprobs)
    }
}

/// The tokens of one pass: whole prompts of requests that start, the last drawn token of the others.
#[derive(Default)]
struct Pass {
    tokens: Vec<u32>,
    slots: Vec<u32>,
    positions: Vec<u32>,
    /// Row of the last token of each sequence.
    last: Vec<u32>,
    /// Prompts that several sequences have.
    shared: Shared,
}

impl Pass {
    fn push(&mut self, slot: usize, tokens: &[u32], from: usize) {
        self.tokens.extend(tokens);
        self.slots.extend(tokens.iter().map(|_| slot as u32));
        self.positions.extend((from..from + tokens.len()).map(|p| p as u32));
        self.last.push(self.tokens.len() as u32 - 1);
    }

    /// Another sequence with the prompt that was pushed last.
    fn push_again(&mut self, slot: usize, len: usize) {
        let end = self.tokens.len();
        self.shared.rows.extend((end - len..end).map(|row| row as u32));
        self.shared.slots.extend((0..len).map(|_| slot as u32));
        self.shared.positions.extend((0..len).map(|p| p as u32));
        self.last.push(end as u32 - 1);
    }
}

/// Can a prompt be answered with so many tokens, in a sequence of at most `most`?
pub(super) fn check(net: &Transformer, index: usize, prompt: &[u32], max_new_tokens: usize, most: usize) -> Result<()> {
    net.check_tokens(prompt, index)?;
    if prompt.is_empty() {
        let remedy = "Begin with the model's first token (bos, or else its end token).";
        return Err(ModelError::request(format!("prompt {index} has no tokens"), remedy));
    }
    if max_new_tokens > most.saturating_sub(prompt.len()) {
        let have = prompt.len();
        let problem =
            format!("prompt {index} has {have} tokens; with {max_new_tokens} new ones it exceeds the context {most}");
        let remedy = match most.saturating_sub(have) {
            0 => format!("Shorten it to less than {most} tokens."),
            room => format!("Shorten it, or ask for at most {room} new tokens."),
        };
        return Err(ModelError::request(problem, remedy));
    }
    Ok(())
}
