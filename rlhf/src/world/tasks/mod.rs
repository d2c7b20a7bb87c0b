//! How prompts are made, by use case in the paper's proportions: the request, the rubric, and answers right and wrong.

mod ask;
mod list;
mod talk;
mod text;
mod write;

use super::closed::World;
use super::prompts::{Draft, Prompt, Split, UseCase};
use kernels::{Draws, Rng};
use std::collections::HashSet;

impl World {
    /// `n` prompts of a split, in the use cases' proportions. A prompt comes again only when its use case has no more
    /// contents to give.
    pub fn prompts(&self, split: Split, n: usize) -> Vec<Prompt> {
        let rng = self.rng.stream("prompts").stream(split.name());
        let mut kinds = use_cases(n);
        rng.stream("order").draws().shuffle(&mut kinds);
        let mut seen = HashSet::new();
        let prompt = |(i, kind): (usize, UseCase)| self.fresh_prompt(split, kind, rng.fold(i as u64), &mut seen);
        kinds.into_iter().enumerate().map(prompt).collect()
    }

    /// `n` prompts of one use case.
    pub fn prompts_of(&self, split: Split, kind: UseCase, n: usize) -> Vec<Prompt> {
        let rng = self.rng.stream("prompts of").stream(split.name()).stream(kind.name());
        let mut seen = HashSet::new();
        (0..n).map(|i| self.fresh_prompt(split, kind, rng.fold(i as u64), &mut seen)).collect()
    }

    /// Draws until the content belongs to the split and the text is new, or, after many tries, not new.
    fn fresh_prompt(&self, split: Split, kind: UseCase, rng: Rng, seen: &mut HashSet<String>) -> Prompt {
        let mut draws = rng.draws();
        let mut tries = 0;
        loop {
            let prompt = self.prompt(split, kind, &mut draws);
            tries += 1;
            if tries > 40 || !seen.contains(&prompt.request) {
                seen.insert(prompt.request.clone());
                return prompt;
            }
        }
    }

    /// One prompt of a split and a use case.
    pub(super) fn prompt(&self, split: Split, kind: UseCase, draws: &mut Draws) -> Prompt {
        loop {
            let draft = draft(self, kind, draws);
            if Split::of(hash(&draft.content)) != split {
                continue;
            }
            assert!(!draft.good.is_empty() && !draft.wrong.is_empty(), "no answers for {:?}", draft.request);
            let words = self.lexicon.read(&draft.request);
            let Draft { request, constraint, rubric, budget, good, careless, wrong, .. } = draft;
            return Prompt { use_case: kind, request, constraint, rubric, budget, good, careless, wrong, words };
        }
    }
}

pub(super) fn draft(world: &World, kind: UseCase, draws: &mut Draws) -> Draft {
    match kind {
        UseCase::Generation => write::generation(world, draws),
        UseCase::OpenQa => ask::open_qa(world, draws),
        UseCase::Brainstorming => list::brainstorming(world, draws),
        UseCase::Chat => talk::chat(world, draws),
        UseCase::Rewrite => text::rewrite(world, draws),
        UseCase::Summarization => text::summarization(world, draws),
        UseCase::Classification => ask::classification(world, draws),
        UseCase::Other => talk::other(world, draws),
        UseCase::ClosedQa => ask::closed_qa(world, draws),
        UseCase::Extract => ask::extract(world, draws),
    }
}

/// A random element that is not one of `taken`.
fn other_than(table: &[&'static str], taken: &[&str], draws: &mut Draws) -> &'static str {
    loop {
        let word = *draws.choose(table);
        if !taken.contains(&word) {
            return word;
        }
    }
}

/// The words as an answer of one phrase: "A cow."
fn phrase(text: &str) -> String {
    format!("{}.", super::words::capital(text))
}

/// The use cases of `n` prompts: every share rounded, what is missing filled up with the largest.
fn use_cases(n: usize) -> Vec<UseCase> {
    let mut kinds = Vec::with_capacity(n);
    for (kind, share) in UseCase::ALL.into_iter().zip(UseCase::SHARES).rev() {
        let want = (n as f32 * share / 100.0).round() as usize;
        kinds.extend(std::iter::repeat_n(kind, want.min(n - kinds.len())));
    }
    kinds.resize(n, UseCase::Generation);
    kinds
}

/// FNV-1a with a final mix, so that the low digits are fair.
fn hash(text: &str) -> u64 {
    let h = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01b3));
    (h ^ (h >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 17
}
