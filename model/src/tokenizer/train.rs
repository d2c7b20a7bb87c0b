//! Learning merges from text (Sennrich et al. 2016, arXiv 1508.07909): the most frequent pair of
//! neighbours within a word becomes a symbol, again and again.

use std::collections::{BinaryHeap, HashSet};

use super::alphabet;
use super::bpe::{Merge, Merges};
use super::hash::FastMap;
use super::split::{Split, words};

type Pair = (u32, u32);

/// A word of the text: its symbols and how often it occurs.
struct Word {
    symbols: Vec<u32>,
    count: u64,
}

/// Up to `merges` merges. Ids 0..256 are the bytes in the order of the alphabet; merge `i` makes id
/// 256 + i. Equally frequent pairs are taken in the order of their ids, so that the same text always
/// gives the same vocabulary. Stops early when no pair occurs twice.
pub fn learn<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, merges: usize, split: Split) -> (Vec<Vec<u8>>, Merges) {
    let mut pieces: Vec<Vec<u8>> = alphabet::ORDER.iter().map(|&byte| vec![byte]).collect();
    let mut learned = Merges::default();
    let mut words = count_words(texts, split);
    let mut pairs = Pairs::count(&words);
    while learned.len() < merges {
        let Some((left, right)) = pairs.most_frequent() else { break };
        let id = pieces.len() as u32;
        learned.insert(left, right, Merge { rank: id - 256, id });
        pieces.push([&pieces[left as usize][..], &pieces[right as usize]].concat());
        pairs.merge(&mut words, (left, right), id);
    }
    (pieces, learned)
}

fn count_words<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, split: Split) -> Vec<Word> {
    let mut counts: FastMap<Vec<u8>, u64> = FastMap::default();
    for text in texts {
        for word in words(text.as_ref(), split).map(str::as_bytes) {
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.to_vec(), 1)),
            }
        }
    }
    let mut id_of = [0; 256];
    for (id, &byte) in alphabet::ORDER.iter().enumerate() {
        id_of[byte as usize] = id as u32;
    }
    let symbols = |word: Vec<u8>| word.into_iter().map(|byte| id_of[byte as usize]).collect();
    counts.into_iter().map(|(word, count)| Word { symbols: symbols(word), count }).collect()
}

/// How often each pair of neighbours occurs, and where.
struct Pairs {
    count: FastMap<Pair, u64>,
    /// Words that have had the pair at some time; not all still have it.
    found_in: FastMap<Pair, Vec<u32>>,
    /// Counts of some past moment, the greatest first; among equals the smallest ids first.
    queue: BinaryHeap<(u64, std::cmp::Reverse<Pair>)>,
}

impl Pairs {
    fn count(words: &[Word]) -> Pairs {
        let mut pairs = Pairs { count: FastMap::default(), found_in: FastMap::default(), queue: BinaryHeap::new() };
        for (at, word) in words.iter().enumerate() {
            for pair in word.symbols.windows(2) {
                pairs.add((pair[0], pair[1]), word.count, at as u32);
            }
        }
        pairs.queue = pairs.count.iter().map(|(&pair, &count)| (count, std::cmp::Reverse(pair))).collect();
        pairs
    }

    fn add(&mut self, pair: Pair, count: u64, word: u32) {
        *self.count.entry(pair).or_default() += count;
        let found_in = self.found_in.entry(pair).or_default();
        if found_in.last() != Some(&word) {
            found_in.push(word);
        }
    }

    /// The pair to merge next, if one occurs at least twice.
    fn most_frequent(&mut self) -> Option<Pair> {
        while let Some((count, std::cmp::Reverse(pair))) = self.queue.pop() {
            let now = self.count.get(&pair).copied().unwrap_or(0);
            if now == count && count >= 2 {
                return Some(pair);
            }
            if now >= 2 {
                self.queue.push((now, std::cmp::Reverse(pair)));
            }
        }
        None
    }

    /// Writes `id` in place of `pair` in every word, and keeps the counts true.
    fn merge(&mut self, words: &mut [Word], pair: Pair, id: u32) {
        let mut grown: HashSet<Pair> = HashSet::new();
        for at in self.found_in.remove(&pair).unwrap_or_default() {
            let Word { symbols, count } = &mut words[at as usize];
            let old = std::mem::take(symbols);
            let merged = replaced(&old, pair, id);
            if merged.len() != old.len() {
                for gone in old.windows(2) {
                    *self.count.get_mut(&(gone[0], gone[1])).expect("every pair of a word is counted") -= *count;
                }
                for new in merged.windows(2) {
                    let new = (new[0], new[1]);
                    if new.0 == id || new.1 == id {
                        self.add(new, *count, at);
                        grown.insert(new);
                    } else {
                        *self.count.get_mut(&new).expect("a pair that was there before") += *count;
                    }
                }
            }
            *symbols = merged;
        }
        self.count.remove(&pair);
        self.queue.extend(grown.into_iter().map(|pair| (self.count[&pair], std::cmp::Reverse(pair))));
    }
}

fn replaced(symbols: &[u32], pair: Pair, id: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let [first, tail @ ..] = rest {
        let hit = *first == pair.0 && tail.first() == Some(&pair.1);
        out.push(if hit { id } else { *first });
        rest = if hit { &tail[1..] } else { tail };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by the definition: count all pairs of all words before every merge.
    fn slow(words: &mut [Word], merges: usize) -> Vec<Pair> {
        let mut learned = vec![];
        for id in 256..256 + merges as u32 {
            let mut counts = std::collections::BTreeMap::<Pair, u64>::new();
            for word in words.iter() {
                word.symbols.windows(2).for_each(|p| *counts.entry((p[0], p[1])).or_default() += word.count);
            }
            let most = counts.values().copied().max().unwrap_or(0);
            let Some((&pair, _)) = counts.iter().find(|&(_, &count)| count == most && count >= 2) else { break };
            words.iter_mut().for_each(|word| word.symbols = replaced(&word.symbols, pair, id));
            learned.push(pair);
        }
        learned
    }

    #[test]
    fn learns_what_counting_from_scratch_learns() {
        let rng = kernels::Rng::new(3);
        for trial in 0..20 {
            let mut draws = rng.fold(trial).draws();
            let text: String = (0..2000).map(|_| *draws.choose(&['a', 'b', 'c', 'c', ' ', 'é'])).collect();
            let split = Split::Gpt2 { digits: false };
            let expected = slow(&mut count_words([&text], split), 60);
            let (pieces, merges) = learn([&text], 60, split);
            assert_eq!(merges.in_order(), expected);
            assert_eq!(pieces.len(), 256 + merges.len());
        }
    }

    #[test]
    fn stops_when_no_pair_occurs_twice() {
        let (pieces, merges) = learn(["abc"], 10, Split::Gpt2 { digits: false });
        assert_eq!((pieces.len(), merges.len()), (256, 0));
    }
}
