//! `results.json`: the figures of a finished run under names that scripts may rely on.

use crate::error::{Failure, Kind, Result};
use crate::folder::write_whole;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// A figure for each model, such as `S.ppo_ptx`.
pub type ByModel<T> = BTreeMap<String, T>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    pub recipe: String,
    pub seed: u64,
    pub seconds: f64,
    pub device: String,
    pub stages: BTreeMap<String, StageResult>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward_model: Option<RewardModel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub win_rate: Option<WinRate>,
    /// "S.ppo_ptx>L.base" → by judge.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub head_to_head: BTreeMap<String, BTreeMap<String, Rate>>,
    /// Nats a token on held-out pretraining text.
    pub loss_on_pretraining_text: ByModel<f64>,
    /// Nats a token on the answers of held-out demonstrations, where there are some.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loss_on_demonstrations: ByModel<f64>,
    /// Nats an answer, from the policy that PPO started from.
    pub kl_to_reference: ByModel<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub truthful: ByModel<Rate>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rude: ByModel<Rate>,
    // What the contract does not name, and the report shows:
    /// The closed world in words, where there is one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub world: String,
    /// Mean length of an answer in tokens, and the share of answers that ended by themselves.
    pub answer_tokens: ByModel<f64>,
    pub ended: ByModel<f64>,
    /// Mean score by the reward model, and by gold where there is one.
    pub proxy_reward: ByModel<f64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gold_score: ByModel<f64>,
    /// Answers that do all that was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub correct: ByModel<Rate>,
    /// Skill on the pretraining domain → model → share solved.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub skills: BTreeMap<String, ByModel<f64>>,
    /// Against the reward model's score, where no other judge exists: the share of prompts on which it prefers a model to
    /// SFT, or to PPO's start.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub preferred_by_reward_model: ByModel<Rate>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preferred_against: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StageResult {
    pub seconds: f64,
    pub steps: usize,
}

/// A share with the ends of its 95 % interval. `n` is left out where the contract has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub rate: f64,
    pub low: f64,
    pub high: f64,
    #[serde(default)]
    pub n: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RewardModel {
    pub heldout_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen_labeler_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labeler_agreement: Option<f64>,
    pub pairs: usize,
    /// Each held-out set with its interval: heldout, unseen_labelers, gold, or a file's name.
    pub accuracy: BTreeMap<String, Rate>,
    /// How often the longer answer wins, on the same pairs: a reward model must beat this and one half.
    pub longer_wins: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WinRate {
    pub against: String,
    pub gold: ByModel<Rate>,
    pub labelers: ByModel<Rate>,
}

impl Results {
    pub fn write(&self, dir: &Path) -> Result {
        let path = dir.join("results.json");
        let value = serde_json::to_value(self).expect("results are numbers and names");
        if let Some(key) = not_finite("", &value) {
            let what = format!("of the results, {key} is NaN or infinite, so they are not written");
            return Err(Failure::new(Kind::Diverged, format!("{what}; a model of the run has diverged")));
        }
        write_whole(&path, &(serde_json::to_string_pretty(&value).expect("a value") + "\n"))
    }

    pub fn read(dir: &Path) -> Result<Results> {
        let path = dir.join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Failure::usage(format!("cannot read {}: {e}; is this the folder of a finished run?", path.display()))
        })?;
        serde_json::from_str(&text).map_err(|e| Failure::data(format!("{}: {e}", path.display())))
    }
}

/// The first number that JSON cannot say; what is not there is left out, so nothing else is null.
fn not_finite(at: &str, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(at.trim_start_matches('.').to_string()),
        Value::Object(all) => all.iter().find_map(|(key, value)| not_finite(&format!("{at}.{key}"), value)),
        Value::Array(all) => all.iter().find_map(|value| not_finite(at, value)),
        _ => None,
    }
}
