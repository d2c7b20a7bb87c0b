//! How much memory and time a recipe wants, from its counts alone.

use super::Recipe;
use super::sections::Shape;
use crate::error::Result;
use crate::memory::{Need, Plan};
use crate::run::{Tuning, config};

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

/// Parameters of a size: per block 4 C² of attention and 8 C² of MLP, and the embedding.
fn parameters(shape: &Shape, vocab: usize) -> f64 {
    let (layers, channels) = (shape.layers as f64, shape.channels as f64);
    let positions = if shape.arch == "gpt2" { shape.context as f64 } else { 0.0 };
    12.0 * layers * channels * channels + (vocab as f64 + positions) * channels
}

/// Training costs 6 operations a parameter and token, reading 2 (Kaplan et al. 2020). The prompts' share of
/// an episode is taken to be as long as the longest answer.
pub fn estimate(recipe: &Recipe) -> Result<Estimate> {
    let vocab = recipe.tokenizer.vocab;
    let size_of = |size: &str| parameters(&recipe.model[size], vocab);
    let demonstrations = recipe.world.demonstrations as f64;
    let row = 2.0 * recipe.eval.max_new as f64;
    let ranked = recipe.world.ranked_prompts as f64 * (recipe.rankings.k_min + recipe.rankings.k_max) as f64 / 2.0;
    let rm = size_of(recipe.rm_size());
    let mut flops = Vec::new();
    for size in recipe.sizes() {
        let n = size_of(size);
        let tokens = (recipe.pretrain.steps.count(size).unwrap_or(0)
            * recipe.pretrain.batch
            * recipe.model[size].context) as f64;
        flops.push((format!("{size}.base"), 6.0 * n * tokens));
        flops.push((format!("{size}.sft"), 6.0 * n * demonstrations * row * recipe.sft.epochs));
        flops.push((format!("{size}.init"), 6.0 * n * demonstrations * row * recipe.init.epochs));
    }
    flops.push(("rm".into(), 6.0 * rm * ranked * row * recipe.rm.epochs));
    for size in recipe.sizes() {
        let n = size_of(size);
        let ppo = &recipe.ppo;
        let tokens = ppo.episodes as f64 * 2.0 * ppo.max_new as f64;
        // Generation, the reference, the reward and the value read; policy and value train.
        let iteration = 2.0 * (2.0 * n + 2.0 * rm) + 6.0 * (n + rm) * ppo.epochs as f64;
        flops.push((format!("{size}.ppo"), tokens * iteration));
        let context = recipe.model[size].context as f64;
        let mixed = 6.0 * n * ppo.ptx_ratio * ppo.episodes as f64 * context;
        flops.push((format!("{size}.ppo_ptx"), tokens * iteration + mixed));
    }
    let parameters = recipe.sizes().iter().map(|s| (s.to_string(), size_of(s))).collect();
    Ok(Estimate { parameters, flops, memory: memory(recipe)? })
}

/// Pretraining of the largest size, the reward model, or PPO of the largest size.
fn memory(recipe: &Recipe) -> Result<Need> {
    let shape = |size: &str| &recipe.model[size];
    let config = |size: &str| config(shape(size), recipe.tokenizer.vocab);
    let (largest, rm) = (recipe.sizes().last().copied().unwrap_or(recipe.rm_size()), recipe.rm_size());
    let (pretrain, ppo) = (&recipe.pretrain, &recipe.ppo);
    let tokens = pretrain.token_budget.min(pretrain.batch * shape(largest).context);
    let [policy, value] = [largest, rm].map(|size| Plan::of(config(size), &Tuning::from(ppo)));
    let needs = [
        Plan::of(config(largest), &Tuning::from(pretrain))?.training(tokens),
        Plan::of(config(rm), &Tuning::from(&recipe.rm))?.scoring(recipe.rm.token_budget),
        policy?.ppo(&value?, false, ppo, shape(largest).context.min(shape(rm).context)),
    ];
    Ok(needs.into_iter().max_by(|a, b| a.total().total_cmp(&b.total())).expect("three of them"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!((parameters(&shape, 50257) / 124.4e6 - 1.0).abs() < 0.01);
    }
}
