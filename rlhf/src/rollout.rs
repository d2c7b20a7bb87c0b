//! Rollouts: the policy answers prompts, and everything PPO needs to know about the answers is gathered.

use crate::methods::ppo::check;
use crate::train::TrainError;
use autograd::{Params, Var, Weights, ops};
use kernels::{Ids, Precision, Rng, Sampling, Segments, Tensor, read_all};
use model::{GenerateConfig, ModelError, Transformer, generate, score};
use std::ops::Range;

/// One answer to one prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    pub prompt: Vec<u32>,
    /// with its end token, if it has one; never empty
    pub response: Vec<u32>,
    /// it ended by itself, not by running out of room
    pub ended: bool,
}

impl Episode {
    /// Prompt and response.
    pub fn sequence(&self) -> Vec<u32> {
        [&self.prompt[..], &self.response].concat()
    }
}

/// A batch of B episodes. T: the tokens of all responses, laid end to end.
#[derive(Clone, Debug)]
pub struct Rollout {
    pub episodes: Vec<Episode>,
    /// [B] where each response lies in the arrays of length T
    pub spans: Vec<Range<usize>>,
    /// [T] log π(token) as the sampler drew it
    pub logp: Vec<f32>,
    /// [T] log π_ref(token)
    pub ref_logp: Vec<f32>,
    /// [T] the value network's guess where that token was about to be chosen
    pub values: Vec<f32>,
    /// [B] reward of the whole answer, clipped, less the missing-end penalty
    pub scores: Vec<f32>,
}

impl Rollout {
    /// Σ_t f(log π − log π_ref) of each answer.
    pub fn kl(&self, estimator: fn(f64) -> f64) -> Vec<f64> {
        let of =
            |span: &Range<usize>| span.clone().map(|t| estimator(self.logp[t] as f64 - self.ref_logp[t] as f64)).sum();
        self.spans.iter().map(of).collect()
    }
}

/// How answers are drawn and scored.
#[derive(Clone, Debug)]
pub struct RolloutConfig {
    pub temperature: f32,
    pub max_new_tokens: usize,
    /// taken from the score of an answer without an end token
    pub missing_eos_penalty: f32,
    /// scores are clipped to ±this; 0 leaves them
    pub score_clip: f32,
    /// tokens a micro-batch of the forward passes
    pub token_budget: usize,
    /// answers that grow side by side
    pub generate_batch: usize,
}

/// Who takes part in a rollout.
pub struct Actors<'a> {
    pub policy: (&'a Transformer, &'a Params),
    pub reference: (&'a Transformer, &'a Params),
    pub value: (&'a Transformer, &'a Params),
    /// scores whole answers: a reward model, or any function
    pub reward: &'a dyn Fn(&[Episode]) -> Vec<f32>,
    pub eos: &'a [u32],
}

/// The policy answers each prompt once; the others have their say.
pub fn collect(
    actors: &Actors,
    prompts: Vec<Vec<u32>>,
    config: &RolloutConfig,
    rng: Rng,
) -> Result<Rollout, TrainError> {
    let (episodes, mut logp) = answer(actors, prompts, config, rng)?;
    let spans = spans(&episodes);
    if actors.policy.1.precision() == Precision::Bf16 {
        // A token at a time and a whole answer at once are rounded differently: the trainer's numbers count.
        let scored = logprobs(actors.policy, &episodes, config);
        check::same_policy(&episodes.iter().collect::<Vec<_>>(), &logp, &scored, check::TOLERANCE_BF16)
            .map_err(TrainError::SelfCheck)?;
        logp = scored;
    }
    let (ref_logp, values) = reread(actors, &episodes, config);
    let scores = scores(actors, &episodes, config);
    let rollout = Rollout { episodes, spans, logp, ref_logp, values, scores };
    rollout.check_finite()?;
    Ok(rollout)
}

fn answer(
    actors: &Actors,
    prompts: Vec<Vec<u32>>,
    config: &RolloutConfig,
    rng: Rng,
) -> Result<(Vec<Episode>, Vec<f32>), ModelError> {
    let (policy, params) = actors.policy;
    let sampling = Sampling { temperature: config.temperature, top_k: 0, top_p: 1.0 }; // what is sampled is what is scored
    let how = GenerateConfig {
        max_new_tokens: config.max_new_tokens,
        sampling,
        eos_ids: actors.eos.to_vec(),
        batch: config.generate_batch,
    };
    let generated = generate(policy, &params.decoding(), &prompts, &how, rng, None, |_, _| ())?;
    let logp = generated.iter().flat_map(|g| g.logprobs.iter().copied()).collect();
    let episodes = prompts.into_iter().zip(generated);
    Ok((episodes.map(|(prompt, g)| Episode { prompt, response: g.tokens, ended: g.ended }).collect(), logp))
}

fn spans(episodes: &[Episode]) -> Vec<Range<usize>> {
    let mut end = 0;
    let span = |e: &Episode| {
        end += e.response.len();
        end - e.response.len()..end
    };
    episodes.iter().map(span).collect()
}

/// log π of every response token.
fn logprobs((model, params): (&Transformer, &Params), episodes: &[Episode], config: &RolloutConfig) -> Vec<f32> {
    let (w, episodes) = (params.frozen(), episodes.iter().collect::<Vec<_>>());
    let of = |range| {
        let batch = ResponseBatch::new(&episodes[range]);
        batch.logprobs(model, &w, config.temperature).value().clone()
    };
    let parts: Vec<Tensor> = cut(&episodes, config.token_budget).into_iter().map(of).collect();
    read_all(&parts.iter().collect::<Vec<_>>()).concat()
}

/// log π_ref and values of every response token.
fn reread(actors: &Actors, episodes: &[Episode], config: &RolloutConfig) -> (Vec<f32>, Vec<f32>) {
    let (reference, value) = (actors.reference.1.frozen(), actors.value.1.frozen());
    let episodes: Vec<&Episode> = episodes.iter().collect();
    let (mut logp, mut values) = (Vec::new(), Vec::new());
    for range in cut(&episodes, config.token_budget) {
        let batch = ResponseBatch::new(&episodes[range]);
        logp.push(batch.logprobs(actors.reference.0, &reference, config.temperature).value().clone());
        values.push(batch.values(actors.value.0, &value).value().clone());
    }
    let read = read_all(&logp.iter().chain(&values).collect::<Vec<_>>());
    (read[..logp.len()].concat(), read[logp.len()..].concat())
}

fn scores(actors: &Actors, episodes: &[Episode], config: &RolloutConfig) -> Vec<f32> {
    let scores = (actors.reward)(episodes);
    assert_eq!(scores.len(), episodes.len(), "the reward function must give one score an episode");
    let clip = if config.score_clip > 0.0 { config.score_clip } else { f32::INFINITY };
    let final_score = |(score, episode): (f32, &Episode)| {
        // f32::clamp lets NaN through, which check_finite then finds
        score.clamp(-clip, clip) - if episode.ended { 0.0 } else { config.missing_eos_penalty }
    };
    scores.into_iter().zip(episodes).map(final_score).collect()
}

impl Rollout {
    /// NaN must be found before anything is clipped: `clamp` and `min` on a GPU turn it into an innocent number.
    fn check_finite(&self) -> Result<(), TrainError> {
        let parts = [
            ("log-probability", &self.logp),
            ("reference log-probability", &self.ref_logp),
            ("value", &self.values),
            ("score", &self.scores),
        ];
        for (what, numbers) in parts {
            if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
                return Err(TrainError::Diverged {
                    step: 0,
                    what: format!("the {what} at place {at} of the rollout is {}", numbers[at]),
                });
            }
        }
        Ok(())
    }
}

/// Micro-batches of whole episodes.
pub(crate) fn cut(episodes: &[&Episode], token_budget: usize) -> Vec<Range<usize>> {
    score::micro_batches(episodes.iter().map(|e| e.prompt.len() + e.response.len() - 1), token_budget)
}

/// Episodes as the networks read them: the last token of a response predicts nothing and is left out.
pub(crate) struct ResponseBatch {
    tokens: Ids,
    seg: Segments,
    /// [T] rows at which a response token is about to be chosen
    rows: Ids,
    /// [T] those tokens
    targets: Ids,
}

impl ResponseBatch {
    pub(crate) fn new(episodes: &[&Episode]) -> ResponseBatch {
        let (mut tokens, mut rows, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for e in episodes {
            let inputs = &e.response[..e.response.len() - 1];
            let first = tokens.len() + e.prompt.len() - 1;
            tokens.extend(e.prompt.iter().chain(inputs));
            rows.extend((first..tokens.len()).map(|row| row as u32));
            targets.extend(&e.response);
            lengths.push(e.prompt.len() + inputs.len());
        }
        ResponseBatch {
            tokens: tokens.into(),
            seg: Segments::from_lengths(&lengths),
            rows: rows.into(),
            targets: targets.into(),
        }
    }

    /// log-softmax(logits / temperature) of the response tokens.  → [T]
    pub(crate) fn logprobs(&self, model: &Transformer, w: &Weights, temperature: f32) -> Var {
        ops::logprob(&self.logits(model, w, temperature), &self.targets)
    }

    /// logits / temperature at the response positions only.  → [T, V]
    pub(crate) fn logits(&self, model: &Transformer, w: &Weights, temperature: f32) -> Var {
        let hidden = model.hidden(w, &self.tokens, &self.seg, None); // no dropout: log π must be a function
        let logits = model.logits(w, &ops::index_select(&hidden, &self.rows));
        if temperature == 1.0 { logits } else { ops::scale(&logits, 1.0 / temperature) }
    }

    /// What the value network expects before each response token.  → [T]
    pub(crate) fn values(&self, model: &Transformer, w: &Weights) -> Var {
        let hidden = model.hidden(w, &self.tokens, &self.seg, None);
        model.score(w, &ops::index_select(&hidden, &self.rows))
    }

    pub(crate) fn targets(&self) -> &Ids {
        &self.targets
    }
}
