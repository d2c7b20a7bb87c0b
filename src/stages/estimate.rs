//! How much memory and time a recipe wants, from its counts alone.

use super::STAGES;
use crate::config::Recipe;
use crate::error::Result;
use crate::training::memory::{Need, Plan};
use crate::training::{Setup, config_of};
use clap::Args;
use model::{Config, HeadKind};
use serde::Serialize;
use std::collections::BTreeMap;

/// What `rlhf recipes check` prints.
pub struct Estimate {
    /// (size, parameters)
    pub parameters: Vec<(String, f64)>,
    /// (stage, floating-point operations)
    pub flops: Vec<(String, f64)>,
    /// Of the stage that takes the most.
    pub memory: Need,
}

impl Estimate {
    pub fn total_flops(&self) -> f64 {
        self.flops.iter().map(|(_, f)| f).sum()
    }
}

/// A recipe with the models of its sizes: what the rows of stages estimate from.
pub struct Sizes<'a> {
    pub recipe: &'a Recipe,
    pub configs: BTreeMap<&'a str, Config>,
}

impl Sizes<'_> {
    pub fn parameters(&self, size: &str) -> f64 {
        self.configs[size].parameters(HeadKind::Lm).map_or(f64::INFINITY, |n| n as f64)
    }

    /// Tokens of a row: the prompt's share is taken to be as long as the longest completion.
    pub fn row(&self) -> f64 {
        2.0 * self.recipe.eval.max_new_tokens as f64
    }

    pub fn method<C: Args + Serialize>(&self, section: &str, size: &str) -> C {
        self.recipe.method(section, size)
    }

    pub fn plan(&self, size: &str, setup: &Setup) -> Result<Plan> {
        Plan::of(self.configs[size].clone(), setup)
    }
}

/// Training costs 6 operations a parameter and token, reading 2 (Kaplan et al. 2020).
pub fn estimate(recipe: &Recipe) -> Result<Estimate> {
    let config = |(size, shape)| Ok((String::as_str(size), config_of(shape, recipe.tokenizer.vocab)?));
    let sizes = Sizes { recipe, configs: recipe.model.iter().map(config).collect::<Result<_>>()? };
    let flops = recipe.made().map(|(stage, size)| (stage.of_size(size), (stage.flops)(&sizes, size))).collect();
    let parameters = recipe.sizes().iter().map(|size| (size.to_string(), sizes.parameters(size))).collect();
    Ok(Estimate { parameters, flops, memory: memory(&sizes)? })
}

/// The most that a stage takes, of those that are made, at the largest size.
fn memory(sizes: &Sizes) -> Result<Need> {
    let recipe = sizes.recipe;
    let of = |stage: &super::Stage| (stage.memory)(sizes, recipe.sizes_of(stage).last().expect("one at least"));
    let made = STAGES.iter().filter(|stage| recipe.makes(stage.name));
    let needs = made.map(|stage| of(stage)).collect::<Result<Vec<_>>>()?;
    match needs.into_iter().max_by(|a, b| a.total().total_cmp(&b.total())) {
        Some(most) => Ok(most),
        None => of(STAGES[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::Shape;
    use crate::stages::load;

    #[test]
    fn every_stage_is_counted() {
        let estimate = estimate(&load("mini", &[]).unwrap()).unwrap();
        let names: Vec<&str> = estimate.flops.iter().map(|(n, _)| n.as_str()).collect();
        assert!(names.starts_with(&["S.base", "L.base", "S.init"]) && names.contains(&"rm"), "{names:?}");
        assert!(estimate.flops.iter().all(|(_, f)| *f > 0.0));
        assert!(estimate.parameters[1].1 >= 10.0 * estimate.parameters[0].1, "L is at least ten times S");
        assert!(estimate.memory.total() > 1e6);
    }

    #[test]
    fn gpt2_has_124_million() {
        let shape = Shape { layers: 12, channels: 768, heads: 12, context: 1024, ..Shape::default() };
        let parameters = config_of(&shape, 50257).unwrap().parameters(HeadKind::Lm).unwrap();
        assert!((parameters as f64 / 124.4e6 - 1.0).abs() < 0.01);
    }
}
