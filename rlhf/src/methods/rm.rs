//! The reward model: a transformer with one number where the vocabulary was, taught from rankings.
//!
//! InstructGPT, equation 1. A labeler ranked K completions of a prompt; that is one element of a batch with all its
//! C(K,2) comparisons, so every completion goes through the network once and is used in one update. (Shuffled into
//! single comparisons, each would be used K−1 times and one epoch would already overfit.)

use super::groups::{Adapter, Compute, Cosine, Optim, Saving, default_from_attributes};
use crate::{
    data::{Example, Ranking},
    range::{count, positive},
    rewards::Rewards,
    rollout::Episode,
    stats::Interval,
    train::{Comm, Learner, Order, Progress, Run, State, TrainError, check_lengths, plan},
};
use autograd::{Params, Var, Weights, ops};
use clap::Args;
use kernels::{Ids, Rng, Segments, Tensor, read_all};
use model::{Transformer, score::micro_batches};
use serde::Serialize;

/// The defaults are for small models; the paper's values stand beside them.
#[derive(Args, Clone, Debug, PartialEq, Serialize)]
#[group(skip)]
#[command(mut_arg("save_every", |a| a.default_value("50")))]
pub struct Config {
    /// How often the rankings are seen; the paper's 1, because more overfits quickly
    #[arg(long, aliases = ["num-epochs", "num-train-epochs"], default_value_t = 1.0, value_parser = positive::<f64>(1e6))]
    pub epochs: f64,
    /// Prompts a step; all completions of a prompt go together; the paper: 64
    #[arg(long, alias = "batch-size", default_value_t = 16, value_parser = count(1, 1 << 20))]
    pub batch: usize,
    /// learning rate, warm-up, weight decay, clipping
    #[command(flatten)]
    #[serde(flatten)]
    pub optim: Optim,
    /// where the learning rate ends
    #[command(flatten)]
    #[serde(flatten)]
    pub cosine: Cosine,
    /// LoRA
    #[command(flatten)]
    #[serde(flatten)]
    pub adapter: Adapter,
    /// precision and memory
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    /// checkpoints
    #[command(flatten)]
    #[serde(flatten)]
    pub saving: Saving,
}

default_from_attributes!(Config);

// ---- comparisons ---------------------------------------------------------------------------------------------------

/// One comparison: rows of the better and the worse completion, and how much it counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// row of the preferred completion
    pub better: usize,
    /// row of the other
    pub worse: usize,
    /// those of one ranking add up to 1
    pub weight: f32,
}

/// All comparisons of one ranking (lower is better, ties are dropped), together of weight 1. `first` is the row of its
/// first completion. Empty when every completion ties.
pub fn comparisons(ranks: &[f32], first: usize) -> Vec<Comparison> {
    let all = pairs(ranks);
    let weight = 1.0 / all.max(1) as f32;
    let mut comparisons = Vec::with_capacity(all); // of many completions they are most of the memory
    comparisons.extend(ordered(ranks).map(|(a, b)| Comparison { better: first + a, worse: first + b, weight }));
    comparisons
}

/// Completions of which the first has the lower rank.
fn ordered(ranks: &[f32]) -> impl Iterator<Item = (usize, usize)> {
    let k = ranks.len();
    (0..k).flat_map(move |a| (0..k).map(move |b| (a, b))).filter(|&(a, b)| ranks[a] < ranks[b])
}

/// How many comparisons a ranking has: K(K−1)/2 of K completions, less those that tie.
pub fn pairs(ranks: &[f32]) -> usize {
    let mut sorted = ranks.to_vec();
    sorted.sort_by(f32::total_cmp);
    let of = |k: usize| k * k.saturating_sub(1) / 2;
    of(ranks.len()) - sorted.chunk_by(|a, b| a == b).map(|ties| of(ties.len())).sum::<usize>()
}

/// scale · Σ weight · −log σ(r_better − r_worse) → [1].  scores [S]
pub fn loss(scores: &Var, pairs: &[Comparison], scale: f32) -> Var {
    let of = |row: fn(&Comparison) -> usize| {
        let rows: Vec<u32> = pairs.iter().map(|pair| row(pair) as u32).collect();
        ops::pick(scores, &Ids::new(rows))
    };
    let difference = of(|pair| pair.better) - of(|pair| pair.worse);
    let weights: Vec<f32> = pairs.iter().map(|pair| -scale * pair.weight).collect();
    let weights = Tensor::from_slice(&scores.value().device(), &[weights.len()], &weights);
    ops::dot(&ops::log_sigmoid(&difference), &weights)
}

/// The score of every sequence, read at its last token that is not padding.  → [S]
fn scores(model: &Transformer, w: &Weights, sequences: &[&[u32]]) -> Var {
    let seg = Segments::from_lengths(&sequences.iter().map(|s| s.len()).collect::<Vec<_>>());
    let last: Vec<u32> =
        sequences.iter().enumerate().map(|(s, ids)| (seg.range(s).start + model.scored_at(ids)) as u32).collect();
    let hidden = model.hidden(w, &Ids::new(sequences.concat()), &seg, None); // [N, C]
    model.score(w, &ops::index_select(&hidden, &Ids::new(last)))
}

/// Scores of whole sequences (prompt and completion), by a model that is not learning.
pub fn score(model: &Transformer, params: &Params, sequences: &[Vec<u32>], token_budget: usize) -> Vec<f32> {
    let w = params.frozen();
    let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    let cuts = micro_batches(sequences.iter().map(|s| s.len()), token_budget);
    let parts: Vec<Tensor> =
        cuts.into_iter().map(|range| scores(model, &w, &sequences[range]).value().clone()).collect();
    read_all(&parts.iter().collect::<Vec<_>>()).concat()
}

/// A reward model as a reward: the score of every completion, prompt included.
pub fn reward<'a>(
    model: &'a Transformer,
    params: &'a Params,
    token_budget: usize,
) -> impl Fn(&[Episode]) -> Result<Rewards, TrainError> + 'a {
    move |episodes| {
        let sequences: Vec<Vec<u32>> = episodes.iter().map(Episode::sequence).collect();
        Ok(score(model, params, &sequences, token_budget).into())
    }
}

// ---- training ------------------------------------------------------------------------------------------------------

/// `model` has a score head: `Transformer::as_score` of a language model.
pub fn train(
    model: &Transformer,
    params: Params,
    rankings: &[Ranking],
    config: &Config,
    rng: Rng,
    run: &mut Run,
) -> Result<Params, TrainError> {
    let rankings: Vec<Prepared> = rankings.iter().map(Prepared::new).filter(|r| !r.pairs.is_empty()).collect();
    if rankings.is_empty() {
        return Err(TrainError::Data("reward model: no ranking prefers one completion to another".into()));
    }
    check_lengths("ranked completion", rankings.iter().flat_map(|r| r.sequences.iter().map(Vec::len)), model)?;
    let (end, total) = plan(rankings.len(), config.epochs as f32, config.batch)?;
    let budget = config.compute.token_budget;
    let (peak, schedule) = (config.optim.lr as f32, config.cosine.schedule(&config.optim));
    let (mut learner, mut progress) = (config.optim.learner(params, run), Progress::default());
    let mut order = Order::new(rng.stream("order"), rankings.len(), run.comm.clone());
    run.tell_schedule(total, config.epochs, config.optim.warmup);
    run.restore(State::of(&mut progress, &mut learner))?;

    while progress.step < total {
        let batch: Vec<&Prepared> =
            order.batch(progress.step, config.batch, end).into_iter().map(|i| &rankings[i]).collect();
        let (losses, scores) = accumulate(model, &mut learner, &batch, budget);
        let lr = schedule.lr_at(peak, progress.step, total);
        let norm = learner.step(lr);

        let mut metrics = describe(&batch, &losses, &scores, &*run.comm);
        metrics.push(("grad_norm", norm.as_ref().map_or(f64::NAN, |&norm| norm as f64)));
        progress.count(norm.map(|_| ()))?;
        progress.step += 1;
        progress.tokens += run.comm.total(batch.iter().map(|r| r.tokens as f64).sum()) as u64;
        metrics.extend([
            ("learning_rate", lr as f64),
            ("epoch", progress.step as f64 * config.batch as f64 / rankings.len() as f64),
            ("num_tokens", progress.tokens as f64),
            ("skipped", progress.skipped as f64),
        ]);
        run.after_step(total, metrics, State::of(&mut progress, &mut learner), |now| {
            let sequences: Vec<Vec<u32>> = batch.iter().flat_map(|r| r.sequences.clone()).collect();
            sum(&score(model, &now.learners[0].1.params, &sequences, budget))
        })?;
    }
    Ok(learner.params)
}

/// A ranking as the network reads it.
struct Prepared {
    /// prompt and completion, one for each of the K completions
    sequences: Vec<Vec<u32>>,
    /// rows count from this prompt's first completion
    pairs: Vec<Comparison>,
    tokens: usize,
}

impl Prepared {
    fn new(ranking: &Ranking) -> Prepared {
        let sequences = sequences(std::slice::from_ref(ranking));
        let tokens = sequences.iter().map(Vec::len).sum();
        let mut pairs = comparisons(&ranking.ranks, 0);
        // one and the same sequence is no better than itself
        pairs.retain(|pair| sequences[pair.better] != sequences[pair.worse]);
        let weight = 1.0 / pairs.len().max(1) as f32;
        pairs.iter_mut().for_each(|pair| pair.weight = weight);
        Prepared { sequences, pairs, tokens }
    }
}

/// Adds the gradient of the mean loss a prompt. Micro-batches hold whole prompts. Returns losses and scores, which are
/// still on the device.
fn accumulate(
    model: &Transformer,
    learner: &mut Learner,
    batch: &[&Prepared],
    token_budget: usize,
) -> (Vec<Tensor>, Vec<Tensor>) {
    let scale = 1.0 / learner.comm.total(batch.len() as f64) as f32;
    let cuts = micro_batches(batch.iter().map(|r| r.tokens), token_budget);
    cuts.into_iter()
        .map(|range| {
            let sequences: Vec<&[u32]> =
                batch[range.clone()].iter().flat_map(|r| r.sequences.iter().map(Vec::as_slice)).collect();
            let pairs = all_pairs(&batch[range]);
            learner.backprop(|w| {
                let scores = scores(model, w, &sequences);
                (loss(&scores, &pairs, scale), scores.value().clone())
            })
        })
        .unzip()
}

/// The comparisons of several prompts, their rows counted through.
fn all_pairs(batch: &[&Prepared]) -> Vec<Comparison> {
    let mut first = 0;
    let mut all = Vec::new();
    for ranking in batch {
        let shift = |p: &Comparison| Comparison { better: p.better + first, worse: p.worse + first, ..*p };
        all.extend(ranking.pairs.iter().map(shift));
        first += ranking.sequences.len();
    }
    all
}

fn sum(scores: &[f32]) -> f64 {
    scores.iter().map(|&s| f64::from(s)).sum()
}

/// Of all ranks, the lowest and the highest score aside.
fn describe(batch: &[&Prepared], losses: &[Tensor], scores: &[Tensor], comm: &dyn Comm) -> Vec<(&'static str, f64)> {
    let read = read_all(&losses.iter().chain(scores).collect::<Vec<_>>());
    let loss: f64 = read[..losses.len()].iter().map(|l| l[0] as f64).sum();
    let scores: Vec<f64> = read[losses.len()..].iter().flatten().map(|&s| s as f64).collect();
    let margins: Vec<f64> = all_pairs(batch).iter().map(|p| scores[p.better] - scores[p.worse]).collect();
    let right: Vec<f64> = margins.iter().map(|&margin| half_point(margin, 0.0)).collect();
    vec![
        ("loss", comm.total(loss)),
        ("accuracy", comm.mean(&right)),
        ("margin", comm.mean(&margins)),
        ("mean_reward", comm.mean(&scores)),
        ("min_reward", scores.iter().fold(f64::INFINITY, |a, &b| a.min(b))),
        ("max_reward", scores.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b))),
    ]
}

// ---- afterwards ----------------------------------------------------------------------------------------------------

/// Sets the bias of the score head so that demonstrations score 0 on average (the loss does not care where 0 is).
/// Returns the mean they had.
pub fn center(model: &Transformer, params: &mut Params, demonstrations: &[Example], token_budget: usize) -> f64 {
    let sequences: Vec<Vec<u32>> = demonstrations.iter().map(|d| d.tokens.clone()).collect();
    let scores = score(model, params, &sequences, token_budget);
    let mean = scores.iter().map(|&s| s as f64).sum::<f64>() / scores.len().max(1) as f64;
    let bias = model.score_bias().expect("a reward model has a score head with a bias");
    let old = params.get(bias).item();
    params.set(bias, &[old - mean as f32]);
    mean
}

/// Share of held-out comparisons that the model orders as the labeler did. Equal scores count ½.
pub fn accuracy(model: &Transformer, params: &Params, rankings: &[Ranking], token_budget: usize) -> Interval {
    accuracy_of(rankings, &score(model, params, &sequences(rankings), token_budget))
}

/// The same, of scores that are there: one for each of [`sequences`].
pub fn accuracy_of(rankings: &[Ranking], scores: &[f32]) -> Interval {
    let mut first = 0;
    let hits = |ranking: &Ranking| {
        let (scores, said) = (&scores[first..][..ranking.completions.len()], &ranking.completions);
        first += scores.len();
        let compared = ordered(&ranking.ranks).filter(|&(a, b)| said[a] != said[b]);
        let points = compared.map(|(a, b)| half_point(scores[a] as f64, scores[b] as f64));
        points.fold((0.0, 0), |(sum, n), point| (sum + point, n + 1))
    };
    Interval::clustered(&rankings.iter().map(hits).collect::<Vec<_>>())
}

/// Prompt and completion, for every completion of every ranking.
pub fn sequences(rankings: &[Ranking]) -> Vec<Vec<u32>> {
    rankings.iter().flat_map(|r| r.completions.iter().map(|c| [&r.prompt[..], c].concat())).collect()
}

/// 1 when the first is greater, ½ when they are equal, else 0.
fn half_point(better: f64, worse: f64) -> f64 {
    if better == worse { 0.5 } else { (better > worse) as u8 as f64 }
}
