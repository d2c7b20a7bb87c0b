//! What completions are worth. A reward is any function of episodes, which have the number of their prompt, tokens and
//! whether they ended: a reward model ([`crate::methods::rm::reward`]), a judge, a length, a comparison with a known
//! completion. It may fail, and it may say more than it pays for, to be looked at.

use crate::{rollout::Episode, train::TrainError};

/// A function from B episodes to what they are worth.
pub type Reward<'a> = dyn Fn(&[Episode]) -> Result<Rewards, TrainError> + 'a;

/// What B episodes are worth.
#[derive(Clone, Debug, Default)]
pub struct Rewards {
    /// [B] what is learnt from
    pub scores: Vec<f32>,
    /// [B] each: parts of it, or what somebody else thinks; only logged, each under its name in `metrics::METRICS`
    pub parts: Vec<(&'static str, Vec<f64>)>,
}

impl From<Vec<f32>> for Rewards {
    fn from(scores: Vec<f32>) -> Rewards {
        Rewards { scores, parts: Vec::new() }
    }
}
