//! Rollouts: a policy completes prompts, and models read the completions. No method is known here: whoever needs
//! log-probabilities or values asks for them.
//!
//! T counts the tokens of all completions, laid end to end.

pub use crate::episode::Episode;
use crate::{self_check, train::TrainError};
use autograd::{Params, Var, Weights, ops};
use kernels::{Ids, Precision, Rng, Segments, Tensor, read_all};
use model::{GenerateConfig, Transformer, generate, score};
use std::ops::Range;

/// What a policy drew: B episodes. Those of one prompt, a group, stand side by side.
#[derive(Clone, Debug)]
pub struct Samples {
    /// [B]
    pub episodes: Vec<Episode>,
    /// [B] where each completion lies in the arrays of length T
    pub spans: Vec<Range<usize>>,
    /// [T] log π(token) as the sampler drew it
    pub logp: Vec<f32>,
    /// Largest difference from `logp` that an untrained policy may show.
    pub tolerance: f32,
}

impl Samples {
    /// Σ_t f(log π − log π_ref) of each completion → [B].  `ref_logp` [T]
    pub fn kl(&self, ref_logp: &[f32], estimator: fn(f64) -> f64) -> Vec<f64> {
        let of = |span: &Range<usize>| span.clone().map(|t| estimator(self.logp[t] as f64 - ref_logp[t] as f64)).sum();
        self.spans.iter().map(of).collect()
    }
}

/// How completions are drawn and read again.
#[derive(Clone, Debug)]
pub struct Sampler<'a> {
    /// divides the logits, in sampling and everywhere else
    pub temperature: f32,
    /// longest completion
    pub max_new_tokens: usize,
    /// completions that grow side by side
    pub generate_batch: usize,
    /// tokens that end a completion
    pub eos_ids: &'a [u32],
    /// tokens a micro-batch of the forward passes
    pub token_budget: usize,
}

/// The policy completes each of the prompts that are `asked` for, by number, `n` times.
///
/// # Errors
///
/// A number of the policy is not finite, or generation and training disagree about what was drawn.
pub fn sample(
    policy: (&Transformer, &Params),
    prompts: &[Vec<u32>],
    asked: &[usize],
    n: usize,
    how: &Sampler,
    rng: Rng,
) -> Result<Samples, TrainError> {
    let asked: Vec<usize> = asked.iter().flat_map(|&number| std::iter::repeat_n(number, n)).collect();
    let texts: Vec<Vec<u32>> = asked.iter().map(|&number| prompts[number].clone()).collect();
    let sampling = kernels::Sampling { temperature: how.temperature, top_k: 0, top_p: 1.0 }; // what is sampled is what is scored
    let config = GenerateConfig {
        max_new_tokens: how.max_new_tokens,
        sampling,
        eos_ids: how.eos_ids.to_vec(),
        batch: how.generate_batch,
    };
    let generated = generate(policy.0, &policy.1.decoding(), &texts, &config, rng, None, |_, _| true)?;

    let mut logp: Vec<f32> = generated.iter().flat_map(|g| g.logprobs.iter().copied()).collect();
    let episodes: Vec<Episode> = asked
        .into_iter()
        .zip(texts)
        .zip(generated)
        .map(|((number, prompt), g)| Episode { number, prompt, completion: g.tokens, ended: g.ended })
        .collect();
    let bf16 = policy.1.precision() == Precision::Bf16;
    // On a CPU a row of a product does not depend on the others; on a GPU their number decides how it is summed, and
    // bf16 makes more of the difference than f32.
    let exact = !bf16 || policy.1.device() == kernels::Device::Cpu;
    let tolerance = if exact { self_check::TOLERANCE } else { self_check::TOLERANCE_BF16 };
    if bf16 {
        // A token at a time and a whole completion at once are rounded differently: the trainer's numbers count.
        let read = logprobs(policy, &episodes, how.temperature, how.token_budget);
        self_check::same_policy(&episodes.iter().collect::<Vec<_>>(), &logp, &read, self_check::TOLERANCE_BF16)
            .map_err(TrainError::SelfCheck)?;
        logp = read;
    }
    check_finite("log-probability", &logp)?;
    Ok(Samples { spans: spans(&episodes), episodes, logp, tolerance })
}

fn spans(episodes: &[Episode]) -> Vec<Range<usize>> {
    let mut end = 0;
    let span = |e: &Episode| {
        end += e.completion.len();
        end - e.completion.len()..end
    };
    episodes.iter().map(span).collect()
}

/// log π of every completion token, by a model that is not learning → [T].
pub fn logprobs(
    (model, params): (&Transformer, &Params),
    episodes: &[Episode],
    temperature: f32,
    token_budget: usize,
) -> Vec<f32> {
    let w = params.frozen();
    read(episodes, token_budget, |batch| ops::logprob(&batch.logits(model, &w, temperature), batch.targets()))
}

/// What a value network expects where each completion token is about to be chosen → [T].
pub fn values((model, params): (&Transformer, &Params), episodes: &[Episode], token_budget: usize) -> Vec<f32> {
    let w = params.frozen();
    read(episodes, token_budget, |batch| batch.values(model, &w))
}

/// A number for every completion token, by micro-batches, with one wait → [T].
fn read(episodes: &[Episode], token_budget: usize, of: impl Fn(&CompletionBatch) -> Var) -> Vec<f32> {
    let episodes: Vec<&Episode> = episodes.iter().collect();
    let parts: Vec<Tensor> = micro_batches(&episodes, token_budget)
        .into_iter()
        .map(|range| of(&CompletionBatch::new(&episodes[range])).value().clone())
        .collect();
    read_all(&parts.iter().collect::<Vec<_>>()).concat()
}

/// NaN must be found before anything is clipped: `clamp` and `min` on a GPU turn it into an innocent number.
pub(crate) fn check_finite(what: &str, numbers: &[f32]) -> Result<(), TrainError> {
    match numbers.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let what = format!("the {what} at place {at} of the rollout is {}", numbers[at]);
            Err(TrainError::Diverged { step: 0, what })
        }
    }
}

/// Ranges of whole episodes, each of at most `token_budget` tokens where that can be.
pub(crate) fn micro_batches(episodes: &[&Episode], token_budget: usize) -> Vec<Range<usize>> {
    score::micro_batches(episodes.iter().map(|e| e.prompt.len() + e.completion.len() - 1), token_budget)
}

/// Episodes as the networks read them: the last token of a completion predicts nothing and is left out.
pub(crate) struct CompletionBatch {
    tokens: Ids,
    seg: Segments,
    /// [t] rows at which a completion token is about to be chosen
    rows: Ids,
    /// [t] those tokens
    targets: Ids,
}

impl CompletionBatch {
    pub(crate) fn new(episodes: &[&Episode]) -> CompletionBatch {
        let (mut tokens, mut rows, mut targets, mut lengths) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for e in episodes {
            let inputs = &e.completion[..e.completion.len() - 1];
            let first = tokens.len() + e.prompt.len() - 1;
            tokens.extend(e.prompt.iter().chain(inputs));
            rows.extend((first..tokens.len()).map(|row| row as u32));
            targets.extend(&e.completion);
            lengths.push(e.prompt.len() + inputs.len());
        }
        CompletionBatch {
            tokens: tokens.into(),
            seg: Segments::from_lengths(&lengths),
            rows: rows.into(),
            targets: targets.into(),
        }
    }

    /// logits / temperature where completion tokens are chosen, and only there.  → [t, V]
    pub(crate) fn logits(&self, model: &Transformer, w: &Weights, temperature: f32) -> Var {
        let hidden = model.hidden(w, &self.tokens, &self.seg, None); // no dropout: log π must be a function
        let logits = model.logits(w, &ops::index_select(&hidden, &self.rows));
        if temperature == 1.0 { logits } else { ops::scale(&logits, 1.0 / temperature) }
    }

    /// What the value network expects before each completion token.  → [t]
    pub(crate) fn values(&self, model: &Transformer, w: &Weights) -> Var {
        let hidden = model.hidden(w, &self.tokens, &self.seg, None);
        model.score(w, &ops::index_select(&hidden, &self.rows))
    }

    /// The completion tokens.  [t]
    pub(crate) fn targets(&self) -> &Ids {
        &self.targets
    }
}
