//! Simulated labelers: programs that weigh the checklist each in their own way, with noise, on the paper's scale of 1 to 7.
//!
//! The noise is the one dial. It is set so that two labelers agree about as often as the paper's did (72.6 %) on the pairs
//! that both of them order; [`Labelers::calibrate`] finds it for a given set of answers.

use super::gold::{Gold, ITEMS, WEIGHTS, weigh};
use kernels::Rng;

/// How often two of InstructGPT's training labelers agreed (arXiv 2203.02155, section 4.1).
pub const PAPER_AGREEMENT: f64 = 0.726;

/// One labeler.
#[derive(Clone, Debug)]
pub struct Labeler {
    pub name: String,
    /// What each item of the checklist is worth to them.
    pub weights: [f64; ITEMS],
    /// Standard deviation of what is not on the checklist.
    pub noise: f64,
    rng: Rng,
}

/// The labelers whose rankings train the reward model, and those who only judge.
#[derive(Clone, Debug)]
pub struct Labelers {
    pub training: Vec<Labeler>,
    pub heldout: Vec<Labeler>,
}

impl Labeler {
    /// `spread`: how far the weights are from the gold score's, as the standard deviation of a factor's logarithm.
    fn new(name: String, spread: f32, noise: f64, rng: Rng) -> Labeler {
        let mut draws = rng.stream("taste").draws();
        let weights = WEIGHTS.map(|weight| weight * (spread * draws.normal()).exp() as f64);
        Labeler { name, weights, noise, rng: rng.stream("noise") }
    }

    /// The mark for one answer, 1 to 7. `task` numbers the sitting: the same task, answer and labeler, the same mark.
    pub fn likert(&self, gold: &Gold, task: u64, answer: usize) -> u32 {
        let noise = self.rng.fold(task).normal_at(answer as u64) as f64;
        let latent = weigh(&gold.items, &self.weights) + self.noise * noise;
        latent.round().clamp(1.0, 7.0) as u32
    }

    /// Ranks of K answers to one prompt, 0 the best; answers with the same mark tie.
    pub fn rank(&self, golds: &[Gold], task: u64) -> Vec<u32> {
        let marks: Vec<u32> = golds.iter().enumerate().map(|(i, gold)| self.likert(gold, task, i)).collect();
        let mut levels = marks.clone();
        levels.sort_unstable_by(|a, b| b.cmp(a));
        levels.dedup();
        let rank = |mark: &u32| levels.iter().position(|level| level == mark).expect("every mark is a level") as u32;
        marks.iter().map(rank).collect()
    }

    /// Which of two answers is better: 1 the first, 0 the second, 0.5 no difference.
    pub fn prefers(&self, first: &Gold, second: &Gold, task: u64) -> f64 {
        match self.likert(first, task, 0).cmp(&self.likert(second, task, 1)) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        }
    }
}

impl Labelers {
    /// Five labelers to train on, three to test with, whose tastes lie further from the gold score.
    pub fn new(rng: Rng) -> Labelers {
        const NOISE: f64 = 2.2;
        let rng = rng.stream("labelers");
        let training =
            (0..5).map(|i| Labeler::new(format!("training labeler {}", i + 1), 0.2, NOISE, rng.fold(i))).collect();
        let heldout = (0..3)
            .map(|i| Labeler::new(format!("held-out labeler {}", i + 1), 0.35, NOISE, rng.fold(100 + i)))
            .collect();
        Labelers { training, heldout }
    }

    /// Sets everybody's noise so that training labelers agree at the target rate on these answers (one group a prompt).
    /// More noise is less agreement, so halving the interval finds it. Returns the noise.
    pub fn calibrate(&mut self, groups: &[Vec<Gold>], target: f64) -> f64 {
        let (mut low, mut high) = (0.0, 8.0);
        for _ in 0..20 {
            let noise = (low + high) / 2.0;
            self.training.iter_mut().chain(&mut self.heldout).for_each(|labeler| labeler.noise = noise);
            match agreement(&self.training, groups).rate() > target {
                true => low = noise,
                false => high = noise,
            }
        }
        self.training[0].noise
    }
}

/// Pairs that two labelers both ordered, and those that they ordered the same way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    pub same: usize,
    pub pairs: usize,
}

impl Agreement {
    pub fn rate(self) -> f64 {
        self.same as f64 / self.pairs.max(1) as f64
    }
}

/// Every pair of labelers on every pair of answers to the same prompt; pairs that either of the two ties are left out.
pub fn agreement(labelers: &[Labeler], groups: &[Vec<Gold>]) -> Agreement {
    let mut found = Agreement::default();
    for (task, golds) in groups.iter().enumerate() {
        let ranks: Vec<Vec<u32>> = labelers.iter().map(|labeler| labeler.rank(golds, task as u64)).collect();
        for a in 0..ranks.len() {
            for b in a + 1..ranks.len() {
                for i in 0..golds.len() {
                    for j in i + 1..golds.len() {
                        let (one, two) = (ranks[a][i].cmp(&ranks[a][j]), ranks[b][i].cmp(&ranks[b][j]));
                        if one.is_ne() && two.is_ne() {
                            found.pairs += 1;
                            found.same += (one == two) as usize;
                        }
                    }
                }
            }
        }
    }
    found
}
