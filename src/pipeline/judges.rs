//! The judges of the closed world: gold, and labelers who are gold with taste and noise. They are programs.

use super::prompt::Prompt;
use kernels::Rng;
use rlhf_core::world::{Gold, Labeler, Labelers, World};

pub struct Judges {
    pub world: World,
    pub labelers: Labelers,
}

/// Sittings at which labelers compare two models, numbered apart from those at which they rank for the reward model.
const COMPARING: u64 = 1 << 32;

impl Judges {
    pub fn new(seed: u64) -> Judges {
        Judges { world: World::new(seed), labelers: Labelers::new(Rng::new(seed)) }
    }

    pub fn gold(&self, prompt: &Prompt, answer: &str, ended: bool) -> Gold {
        let task = prompt.task.as_ref().expect("prompts of the world know their task");
        self.world.gold(task, answer, ended)
    }

    /// How noisy everybody is; found once, when the answers to rank are there.
    pub fn with_noise(&self, noise: f64) -> Labelers {
        let mut labelers = self.labelers.clone();
        labelers.training.iter_mut().chain(&mut labelers.heldout).for_each(|l| l.noise = noise);
        labelers
    }
}

/// By gold: 1 when the first answer is better, ½ when there is no difference.
pub fn gold_prefers(first: &Gold, second: &Gold) -> f64 {
    let difference = first.score - second.score;
    if difference.abs() < 1e-9 { 0.5 } else { f64::from(difference > 0.0) }
}

/// The mean vote of all labelers on prompt number `prompt`.
pub fn labelers_prefer(labelers: &[Labeler], first: &Gold, second: &Gold, prompt: usize) -> f64 {
    let votes = labelers.iter().map(|l| l.prefers(first, second, COMPARING + prompt as u64));
    votes.sum::<f64>() / labelers.len() as f64
}
