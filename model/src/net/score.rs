//! What a model says about text that is already there: the log-probability of every token, or its score.
use super::generate::check_tokens;
use super::transformer::Transformer;
use crate::error::{ModelError, Result};
use autograd::{Var, Weights, ops};
use kernels::{Ids, Segments, Tensor, read_all};
use std::ops::Range;

/// Logits of so many numbers at a time.
const LOGITS: usize = 1 << 24;

/// Consecutive items of at most `budget` tokens together, at least one item each.
pub fn cut(lengths: &[usize], budget: usize) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut tokens) = (Vec::new(), 0, 0);
    for (i, &length) in lengths.iter().enumerate() {
        if i > start && tokens + length > budget {
            parts.push(start..i);
            (start, tokens) = (i, 0);
        }
        tokens += length;
    }
    if start < lengths.len() {
        parts.push(start..lengths.len());
    }
    parts
}

/// Can a model read these sequences? Each of its tokens has a row of the embedding, and they fit into the context.
pub fn check(model: &Transformer, sequences: &[Vec<u32>]) -> Result<()> {
    let context = model.config.context;
    for (i, sequence) in sequences.iter().enumerate() {
        check_tokens(sequence, model.config.vocab, i)?;
        if sequence.len() > context {
            let problem = format!("sequence {i} has {} tokens, the model holds {context}", sequence.len());
            return Err(ModelError::request(problem, "Shorten it, or split it into several."));
        }
    }
    Ok(())
}

/// Log-probability under softmax(logits / temperature) of every token but the first, given those before it:
/// one number less than tokens for each sequence. At most `budget` tokens go through the model at a time.
pub fn logprobs(
    model: &Transformer,
    w: &Weights,
    sequences: &[Vec<u32>],
    temperature: f32,
    budget: usize,
) -> Result<Vec<Vec<f32>>> {
    let mut out = Vec::with_capacity(sequences.len());
    for_each_part(model, w, sequences, budget, |part, seg, hidden| {
        let ranges = || (0..part.len()).map(|b| seg.range(b)).filter(|range| !range.is_empty());
        let rows: Vec<u32> = ranges().flat_map(|r| r.start as u32..r.end as u32 - 1).collect();
        let targets: Vec<u32> = part.iter().flat_map(|s| s.iter().skip(1).copied()).collect();
        let all = of_rows(model, w, hidden, &rows, &targets, temperature);
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
fn of_rows(
    model: &Transformer,
    w: &Weights,
    hidden: &Var,
    rows: &[u32],
    targets: &[u32],
    temperature: f32,
) -> Vec<f32> {
    let piece = (LOGITS / model.config.vocab).max(1);
    let pieces = rows.chunks(piece).zip(targets.chunks(piece)).map(|(rows, targets)| {
        let logits = model.logits(w, &ops::index_select(hidden, &Ids::from(rows)));
        let logits = if temperature == 1.0 { logits } else { ops::scale(&logits, 1.0 / temperature) };
        kernels::logprob(logits.value(), &Ids::from(targets)).0
    });
    let pieces: Vec<Tensor> = pieces.collect();
    read_all(&pieces.iter().collect::<Vec<_>>()).concat()
}

/// The score of every token of each sequence: a value network's values. The last one is a reward model's
/// reward of the whole.
pub fn scores(model: &Transformer, w: &Weights, sequences: &[Vec<u32>], budget: usize) -> Result<Vec<Vec<f32>>> {
    let mut out = Vec::with_capacity(sequences.len());
    for_each_part(model, w, sequences, budget, |part, seg, hidden| {
        let all = model.score(w, hidden).value().to_vec();
        out.extend((0..part.len()).map(|b| all[seg.range(b)].to_vec()));
    })?;
    Ok(out)
}

/// Run `f` on the hidden states of a few sequences at a time.
fn for_each_part(
    model: &Transformer,
    w: &Weights,
    sequences: &[Vec<u32>],
    budget: usize,
    mut f: impl FnMut(&[Vec<u32>], &Segments, &Var),
) -> Result<()> {
    check(model, sequences)?;
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    for range in cut(&lengths, budget) {
        let seg = Segments::from_lengths(&lengths[range.clone()]);
        let part = &sequences[range];
        let tokens = Ids::new(part.concat());
        match tokens.is_empty() {
            true => f(part, &seg, &Var::from(Tensor::zeros(&w.device(), &[0, model.config.channels]))),
            false => f(part, &seg, &model.hidden(w, &tokens, &seg, None)),
        }
    }
    Ok(())
}
