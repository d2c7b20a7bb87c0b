//! The range of every number that a user can give. It is written once, beside the key, as the parser of its flag; values
//! from files go through the same parser (`check`). NaN and infinity are in no range.

use crate::config::PerSize;
use crate::error::{Failure, Result};
use clap::{Args, Command};
pub use rlhf_core::range::{MANY, Number, TOKENS, count, positive, rate, within};
use serde::Serialize;
use std::error::Error;
use toml::{Table, Value};

/// A whole number from `low` to `high`, that may differ by size.
pub fn counts(low: usize, high: usize) -> impl Fn(&str) -> std::result::Result<PerSize, String> + Clone {
    move |text| {
        let n = text.parse::<f64>().ok().filter(|x| x.fract() == 0.0 && (low as f64..=high as f64).contains(x));
        n.map(PerSize::from).ok_or_else(|| format!("it is a whole number from {low} to {high}"))
    }
}

impl Number for PerSize {
    fn of(value: f64) -> PerSize {
        value.into()
    }
}

/// Are all values of a section within the ranges of its keys? `place` stands before the key in the message: "sft.".
pub fn check<S: Args + Serialize>(place: &str, section: &S) -> Result {
    let values = Table::try_from(section).expect("a section is plain values");
    let command = S::augment_args(Command::new("section").no_binary_name(true));
    for (key, value) in &values {
        let all: Vec<&Value> = match value {
            Value::Table(by_size) => by_size.values().collect(),
            one => vec![one],
        };
        let flag = command.get_arguments().find(|a| a.get_id() == key).and_then(|a| a.get_long());
        for (flag, text) in all.iter().filter_map(|v| Some((flag?, text(v)?))) {
            if let Err(e) = command.clone().try_get_matches_from([format!("--{flag}={text}")]) {
                let why = e.source().map_or_else(|| e.to_string(), |e| e.to_string());
                return Err(Failure::usage(format!("{place}{key} = {text}: {why}")));
            }
        }
    }
    Ok(())
}

/// A number as a flag has it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Integer(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Recipe;
    use crate::config::sections::{Data, Eval, Ppo, Pretrain, Rankings, Rm, Sft, Shape, Tokenizer, World, defaults};

    /// Every number of every section has a range: NaN (and for whole numbers 2⁶³ − 1) is outside of it.
    #[test]
    fn every_key_has_a_range() {
        fn all<S: Args + Serialize>(place: &str, section: &S) {
            let command = S::augment_args(Command::new("x").no_binary_name(true));
            for (key, value) in Table::try_from(section).unwrap() {
                if text(&value).is_none() {
                    continue;
                }
                let flag = key.replace('_', "-");
                for wrong in ["nan", "inf", "9223372036854775807"]
                    .iter()
                    .filter(|w| **w != "9223372036854775807" || value.is_integer())
                {
                    if value.is_float() || value.is_integer() {
                        let got = command.clone().try_get_matches_from([format!("--{flag}={wrong}")]);
                        assert!(got.is_err(), "{place}{key} takes {wrong}");
                    }
                }
            }
        }
        all("data.", &Data::default());
        all("world.", &defaults::<World>());
        all("tokenizer.", &defaults::<Tokenizer>());
        all("model.", &defaults::<Shape>());
        all("pretrain.", &Pretrain { steps: 3.0.into(), ..defaults() });
        all("sft.", &defaults::<Sft>());
        all("rankings.", &defaults::<Rankings>());
        all("rm.", &defaults::<Rm>());
        all("ppo.", &defaults::<Ppo>());
        all("eval.", &defaults::<Eval>());
    }

    #[test]
    fn a_recipe_names_key_range_and_value() {
        let error = |set: &str| {
            let failure = Recipe::load("mini", &[set.to_string()]).unwrap_err();
            assert_eq!(failure.kind, crate::error::Kind::Usage);
            failure.message
        };
        assert_eq!(error("sft.lr=nan"), "recipe mini: sft.lr = NaN: it is a number above 0");
        assert_eq!(error("sft.lr={ S = 1e-3, L = inf }"), "recipe mini: sft.lr = inf: it is a number above 0");
        for set in [
            "pretrain.batch=0",
            "pretrain.steps=0",
            "sft.epochs=-1",
            "sft.dropout=2",
            "sft.pretrain_mix=1",
            "init.lr_floor=-0.5",
            "ppo.clip=-1",
            "ppo.value_clip=nan",
            "ppo.gamma=1.5",
            "ppo.temperature=0",
            "ppo.ema=2",
            "model.S.layers=4611686018427387905",
            "model.S.context=9007199254740993",
            "data.holdout=1",
            "eval.max_new=0",
            "tokenizer.vocab=10",
            "rm.batch=9223372036854775807",
            "world.documents=9223372036854775807",
        ] {
            let (key, value) = set.split_once('=').unwrap();
            let (key, message) = (key.to_lowercase(), error(set).to_lowercase());
            assert!(message.contains(&format!("{key} = {value}: it is a ")), "{set}: {message}");
        }
    }
}
