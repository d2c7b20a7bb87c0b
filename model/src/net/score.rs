//! What a model says about text that is already there: the log-probability of every token, or its score.
use super::transformer::Transformer;
use crate::error::{ModelError, Result};
use autograd::{Var, Weights, ops};
use kernels::{Ids, Segments, Tensor, read_all};
use std::ops::Range;

/// Logits of so many numbers at a time.
const LOGITS: usize = 1 << 24;

/// Micro-batches: consecutive items of at most `token_budget` tokens together, at least one item each. `lengths` are
/// those of the items in tokens; the results are ranges of their numbers.
pub fn micro_batches(lengths: impl IntoIterator<Item = usize>, token_budget: usize) -> Vec<Range<usize>> {
    let (mut all, mut batch, mut tokens) = (Vec::new(), 0..0, 0);
    for length in lengths {
        if !batch.is_empty() && tokens + length > token_budget {
            all.push(batch.clone());
            (batch, tokens) = (batch.end..batch.end, 0);
        }
        batch.end += 1;
        tokens += length;
    }
    if !batch.is_empty() {
        all.push(batch);
    }
    all
}

/// Can a model read these sequences? Each token has a row of the embedding, and they fit into the context.
///
/// # Errors
/// The first that it cannot.
pub fn check(net: &Transformer, sequences: &[Vec<u32>]) -> Result<()> {
    let context = net.config.context;
    for (i, sequence) in sequences.iter().enumerate() {
        net.check_tokens(sequence, i)?;
        if sequence.len() > context {
            let problem = format!("sequence {i} has {} tokens, the model holds {context}", sequence.len());
            return Err(ModelError::request(problem, "Shorten it, or split it into several."));
        }
    }
    Ok(())
}

/// Log-probability under softmax(logits / temperature) of every token but the first, given those before it:
/// one number less than tokens for each sequence, in nats. At most `token_budget` tokens go through the model at a time.
///
/// # Errors
/// As [`check`].
pub fn logprobs(
    net: &Transformer,
    w: &Weights,
    sequences: &[Vec<u32>],
    temperature: f32,
    token_budget: usize,
) -> Result<Vec<Vec<f32>>> {
    let mut out = Vec::with_capacity(sequences.len());
    for_each_part(net, w, sequences, token_budget, |part, seg, hidden| {
        let ranges = || (0..part.len()).map(|b| seg.range(b)).filter(|range| !range.is_empty());
        let rows: Vec<u32> = ranges().flat_map(|r| r.start as u32..r.end as u32 - 1).collect();
        let targets: Vec<u32> = part.iter().flat_map(|s| s.iter().skip(1).copied()).collect();
        let all = of_rows(net, w, hidden, &rows, &targets, temperature);
        let mut rest = &all[..];
        for sequence in part {
            let (these, others) = rest.split_at(sequence.len().saturating_sub(1));
            out.push(these.to_vec());
            rest = others;
        }
    })?;
    Ok(out)
}

/// log softmax(logits / temperature)[targets[r]] of each picked row, in pieces that bound the logits.
fn of_rows(net: &Transformer, w: &Weights, hidden: &Var, rows: &[u32], targets: &[u32], temperature: f32) -> Vec<f32> {
    let piece = (LOGITS / net.config.vocab).max(1);
    let pieces = rows.chunks(piece).zip(targets.chunks(piece)).map(|(rows, targets)| {
        let logits = net.logits(w, &ops::index_select(hidden, &Ids::from(rows)));
        let logits = if temperature == 1.0 { logits } else { ops::scale(&logits, 1.0 / temperature) };
        kernels::logprob(logits.value(), &Ids::from(targets)).0
    });
    let pieces: Vec<Tensor> = pieces.collect();
    read_all(&pieces.iter().collect::<Vec<_>>()).concat()
}

/// Scores of every token of each sequence: a value network's values. The last one is a reward model's
/// reward of the whole.
///
/// # Errors
/// As [`check`].
pub fn scores(net: &Transformer, w: &Weights, sequences: &[Vec<u32>], token_budget: usize) -> Result<Vec<Vec<f32>>> {
    let mut out = Vec::with_capacity(sequences.len());
    for_each_part(net, w, sequences, token_budget, |part, seg, hidden| {
        let all = net.score(w, hidden).value().to_vec();
        out.extend((0..part.len()).map(|b| all[seg.range(b)].to_vec()));
    })?;
    Ok(out)
}

/// Run `f` on the hidden states of a few sequences at a time.
fn for_each_part(
    net: &Transformer,
    w: &Weights,
    sequences: &[Vec<u32>],
    token_budget: usize,
    mut f: impl FnMut(&[Vec<u32>], &Segments, &Var),
) -> Result<()> {
    check(net, sequences)?;
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    for range in micro_batches(lengths.iter().copied(), token_budget) {
        let seg = Segments::from_lengths(&lengths[range.clone()]);
        let part = &sequences[range];
        let tokens = Ids::new(part.concat());
        match tokens.is_empty() {
            true => f(part, &seg, &Var::from(Tensor::zeros(&w.device(), &[0, net.config.channels]))),
            false => f(part, &seg, &net.hidden(w, &tokens, &seg, None)),
        }
    }
    Ok(())
}
