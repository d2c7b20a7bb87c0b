//! How much memory and time a recipe wants, from its counts alone.

use super::{Setup, config_of};
use crate::config::Recipe;
use crate::error::Result;
use crate::training::memory::{Need, Plan};
use model::{Config, HeadKind};
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

/// Training costs 6 operations a parameter and token, reading 2 (Kaplan et al. 2020). The prompts' share of
/// an episode is taken to be as long as the longest answer.
pub fn estimate(recipe: &Recipe) -> Result<Estimate> {
    let configs: BTreeMap<&str, Config> = recipe
        .model
        .iter()
        .map(|(s, shape)| Ok((s.as_str(), config_of(shape, recipe.tokenizer.vocab)?)))
        .collect::<Result<_>>()?;
    let size_of = |size: &str| configs[size].parameters(HeadKind::Lm).map_or(f64::INFINITY, |n| n as f64);
    let demonstrations = recipe.world.demonstrations as f64;
    let row = 2.0 * recipe.eval.max_new as f64;
    let ranked =
        recipe.world.ranked_prompts as f64 * (recipe.rankings.k_min as f64 + recipe.rankings.k_max as f64) / 2.0;
    let rm = size_of(recipe.rm_size());
    let mut flops = Vec::new();
    let mut add = |kind: &str, name: String, operations: f64| {
        if recipe.makes(kind) {
            flops.push((name, operations));
        }
    };
    for size in recipe.sizes() {
        let n = size_of(size);
        let sequences = recipe.pretrain.steps.get(size).unwrap_or(0.0) * recipe.pretrain.batch as f64;
        add("base", format!("{size}.base"), 6.0 * n * sequences * configs[size].context as f64);
        add("sft", format!("{size}.sft"), 6.0 * n * demonstrations * row * recipe.sft.epochs);
        add("init", format!("{size}.init"), 6.0 * n * demonstrations * row * recipe.init.epochs);
    }
    add("rm", "rm".into(), 6.0 * rm * ranked * row * recipe.rm.epochs);
    for size in recipe.sizes() {
        let n = size_of(size);
        let ppo = &recipe.ppo;
        let tokens = ppo.episodes as f64 * 2.0 * ppo.max_new as f64;
        // Generation, the reference, the reward and the value read; policy and value train.
        let iteration = 2.0 * (2.0 * n + 2.0 * rm) + 6.0 * (n + rm) * ppo.epochs as f64;
        add("ppo", format!("{size}.ppo"), tokens * iteration);
        let mixed = 6.0 * n * ppo.ptx_ratio * ppo.episodes as f64 * configs[size].context as f64;
        add("ppo_ptx", format!("{size}.ppo_ptx"), tokens * iteration + mixed);
    }
    let parameters = recipe.sizes().iter().map(|s| (s.to_string(), size_of(s))).collect();
    Ok(Estimate { parameters, flops, memory: memory(recipe, &configs)? })
}

/// The most that a stage takes, of those that are made, at the largest size.
fn memory(recipe: &Recipe, configs: &BTreeMap<&str, Config>) -> Result<Need> {
    let (largest, rm) = (recipe.sizes().last().copied().unwrap_or(recipe.rm_size()), recipe.rm_size());
    let plan = |size: &str, how: Setup| Plan::of(configs[size].clone(), &how);
    let context = configs[largest].context;
    let Recipe { pretrain, sft, init, ppo, .. } = recipe;
    let mut needs = Vec::new();
    if recipe.makes("base") {
        let tokens = pretrain.token_budget.min(pretrain.batch.saturating_mul(context));
        needs.push(plan(largest, pretrain.into())?.training(tokens));
    }
    for (kind, section) in [("sft", sft), ("init", init)] {
        if recipe.makes(kind) {
            let tokens = section.token_budget.min(section.batch.saturating_mul(context));
            needs.push(plan(largest, section.into())?.training(tokens));
        }
    }
    if recipe.makes("rm") {
        needs.push(plan(rm, (&recipe.rm).into())?.scoring(recipe.rm.token_budget));
    }
    if recipe.makes("ppo") || recipe.makes("ppo_ptx") {
        let value = plan(rm, ppo.into())?;
        needs.push(plan(largest, ppo.into())?.ppo(&value, false, ppo, context.min(configs[rm].context)));
    }
    let most = needs.into_iter().max_by(|a, b| a.total().total_cmp(&b.total()));
    most.map_or_else(|| plan(largest, sft.into()).map(|plan| plan.weights_only()), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::sections::Shape;

    #[test]
    fn every_stage_is_counted() {
        let estimate = estimate(&Recipe::load("mini", &[]).unwrap()).unwrap();
        let names: Vec<&str> = estimate.flops.iter().map(|(n, _)| n.as_str()).collect();
        assert!(names.starts_with(&["S.base", "S.sft", "S.init", "L.base"]), "{names:?}");
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
