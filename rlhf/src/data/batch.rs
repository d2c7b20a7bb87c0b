//! Examples and ragged batches. A weight per token says what is trained; it is made here and nowhere else.

use kernels::{Ids, Segments};

/// One sequence, and which of its tokens are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// prompt and completion, or text
    pub tokens: Vec<u32>,
    /// one for each token; 1.0 where that token counts, and weights[0] = 0: nothing predicts the first
    pub weights: Vec<f32>,
}

impl Example {
    /// Plain text: every token but the first counts.
    pub fn text(tokens: Vec<u32>) -> Example {
        let weights = (0..tokens.len()).map(|i| (i > 0) as u8 as f32).collect();
        Example { tokens, weights }
    }

    /// A completion of a prompt: only the completion counts, its end token included.
    pub fn completion(prompt: &[u32], completion: &[u32]) -> Example {
        let tokens = [prompt, completion].concat();
        let weights = (0..tokens.len()).map(|i| (i > 0 && i >= prompt.len()) as u8 as f32).collect();
        Example { tokens, weights }
    }
}

/// B sequences laid end to end.
#[derive(Clone)]
pub struct Batch {
    /// [N]
    pub tokens: Ids,
    /// where each sequence begins (packed sequences: cu_seqlens)
    pub seg: Segments,
    /// [R] rows whose next token is trained
    pub rows: Ids,
    /// [R] that next token
    pub targets: Ids,
    /// [R]
    pub weights: Vec<f32>,
}

impl Batch {
    /// Packs the examples.
    pub fn new(examples: &[&Example]) -> Batch {
        let (mut tokens, mut rows, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for example in examples {
            let first = tokens.len();
            for i in (1..example.tokens.len()).filter(|&i| example.weights[i] != 0.0) {
                rows.push((first + i - 1) as u32);
                targets.push(example.tokens[i]);
                weights.push(example.weights[i]);
            }
            tokens.extend(&example.tokens);
        }
        let seg = Segments::from_lengths(&examples.iter().map(|e| e.tokens.len()).collect::<Vec<_>>());
        Batch { tokens: Ids::new(tokens), seg, rows: Ids::new(rows), targets: Ids::new(targets), weights }
    }
}

/// A long text as sequences of `context` tokens, each starting with the last token of the one before, so that every
/// token but the very first is predicted once.
pub fn windows(tokens: &[u32], context: usize) -> Vec<Example> {
    assert!(context >= 2, "a window of {context} tokens predicts nothing");
    let starts = (0..tokens.len().saturating_sub(1)).step_by(context - 1);
    starts.map(|start| Example::text(tokens[start..(start + context).min(tokens.len())].to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_point_at_what_comes_before_a_trained_token() {
        let (text, completion) = (Example::text(vec![5, 6, 7]), Example::completion(&[1, 2], &[3, 4]));
        let batch = Batch::new(&[&text, &completion]);
        assert_eq!(batch.tokens.host(), [5, 6, 7, 1, 2, 3, 4]);
        assert_eq!(batch.seg.starts().host(), [0, 3, 7]);
        assert_eq!(batch.rows.host(), [0, 1, 4, 5]);
        assert_eq!(batch.targets.host(), [6, 7, 3, 4]);
        assert_eq!(batch.weights, [1.0; 4]);
    }

    #[test]
    fn nothing_predicts_the_first_token() {
        assert_eq!(Example::completion(&[], &[3, 4]).weights, [0.0, 1.0]);
        assert!(Example::text(vec![]).weights.is_empty());
    }
}
