//! The heart of byte-pair encoding: a word starts as one symbol per byte (or character), and the pair of
//! neighbours that was merged first in training is merged first again, until no pair is left to merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::hash::FastMap;

/// What becomes of two neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Lower is merged earlier. Among equals the leftmost pair is.
    pub rank: u32,
    /// The id of the two together.
    pub id: u32,
}

/// All merges of a vocabulary, by their pair.
#[derive(Clone, Debug, Default)]
pub struct Merges(FastMap<u64, Merge>);

fn key(left: u32, right: u32) -> u64 {
    (left as u64) << 32 | right as u64
}

impl Merges {
    pub fn insert(&mut self, left: u32, right: u32, merge: Merge) {
        self.0.insert(key(left, right), merge);
    }

    pub fn get(&self, left: u32, right: u32) -> Option<Merge> {
        self.0.get(&key(left, right)).copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The pairs, earliest first.
    pub fn in_order(&self) -> Vec<(u32, u32)> {
        let mut all: Vec<(u32, u32, u32)> = self.0.iter().map(|(&k, m)| (m.rank, (k >> 32) as u32, k as u32)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, left, right)| (left, right)).collect()
    }

    /// Merges the symbols of one word in place, in time O(n log n).
    pub fn apply(&self, symbols: &mut Vec<u32>) {
        if symbols.len() <= SHORT { self.apply_short(symbols) } else { self.apply_long(symbols) }
    }

    /// Looks at every pair before every merge: the fastest way for the words of ordinary text.
    fn apply_short(&self, symbols: &mut Vec<u32>) {
        loop {
            let pairs = symbols.windows(2).enumerate();
            let first = pairs
                .filter_map(|(at, pair)| Some((self.get(pair[0], pair[1])?, at)))
                .min_by_key(|&(m, at)| (m.rank, at));
            let Some((merge, at)) = first else { return };
            symbols[at] = merge.id;
            symbols.remove(at + 1);
        }
    }

    /// A linked list of symbols and a heap of the pairs that can be merged.
    fn apply_long(&self, symbols: &mut Vec<u32>) {
        let n = symbols.len();
        let mut next: Vec<usize> = (1..=n).collect(); // n is past the end
        let mut before: Vec<usize> = (0..n).map(|at| at.wrapping_sub(1)).collect(); // usize::MAX is before the start
        let mut heap = BinaryHeap::new();
        let offer = |heap: &mut BinaryHeap<_>, at: usize, left: u32, right: u32| {
            if let Some(merge) = self.get(left, right) {
                heap.push(Reverse((merge.rank, at, left, right, merge.id)));
            }
        };
        for at in 0..n - 1 {
            offer(&mut heap, at, symbols[at], symbols[at + 1]);
        }
        while let Some(Reverse((_, at, left, right, id))) = heap.pop() {
            let after = next[at];
            if symbols[at] != left || after >= n || symbols[after] != right {
                continue; // one of the two has been merged with something else
            }
            symbols[at] = id;
            symbols[after] = GONE;
            next[at] = next[after];
            if next[at] < n {
                before[next[at]] = at;
                offer(&mut heap, at, id, symbols[next[at]]);
            }
            if before[at] < n {
                offer(&mut heap, before[at], symbols[before[at]], id);
            }
        }
        symbols.retain(|&symbol| symbol != GONE);
    }
}

/// Up to this many symbols, looking at all pairs is faster than keeping a heap of them.
const SHORT: usize = 24;

/// The id of no token.
const GONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// 0..=3 are letters; 4 = 01, 5 = 23, 6 = 45, 7 = 00 (the latest)
    fn merges() -> Merges {
        let mut merges = Merges::default();
        for (rank, (left, right, id)) in [(0, 1, 4), (2, 3, 5), (4, 5, 6), (0, 0, 7)].into_iter().enumerate() {
            merges.insert(left, right, Merge { rank: rank as u32, id });
        }
        merges
    }

    #[test]
    fn merges_in_the_order_of_training() {
        let mut word = vec![0, 0, 1, 2, 3, 0, 0, 0];
        merges().apply(&mut word);
        assert_eq!(word, [0, 6, 7, 0]);
        assert_eq!(merges().in_order(), [(0, 1), (2, 3), (4, 5), (0, 0)]);
        assert_eq!(merges().len(), 4);
    }

    #[test]
    fn the_heap_and_the_plain_loop_agree() {
        let merges = merges();
        let rng = kernels::Rng::new(7);
        for trial in 0..500 {
            let mut draws = rng.fold(trial).draws();
            let word: Vec<u32> = (0..draws.below(60) + 1).map(|_| draws.below(4) as u32).collect();
            let (mut plain, mut heap) = (word.clone(), word);
            merges.apply_short(&mut plain);
            merges.apply_long(&mut heap);
            assert_eq!(plain, heap);
        }
    }
}
