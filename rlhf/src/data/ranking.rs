//! Rankings as token ids.

/// K completions of one prompt, ranked.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// its tokens
    pub prompt: Vec<u32>,
    /// [K] their tokens
    pub completions: Vec<Vec<u32>>,
    /// lower is better, ties allowed
    pub ranks: Vec<f32>,
}

impl Ranking {
    /// How many comparisons of one completion with another, and how many of them of completions that are the same.
    pub fn equal(&self) -> (usize, usize) {
        let k = self.completions.len();
        let pairs = (0..k).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|&(a, b)| self.ranks[a] != self.ranks[b]);
        pairs.fold((0, 0), |(all, equal), (a, b)| {
            (all + 1, equal + (self.completions[a] == self.completions[b]) as usize)
        })
    }
}
