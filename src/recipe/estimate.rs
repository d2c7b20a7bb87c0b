//! How much memory and time a recipe wants, from its counts alone.

use super::Recipe;
use super::sections::Shape;

/// What `rlhf recipes check` prints.
#[derive(Debug)]
pub struct Estimate {
    /// (size, parameters)
    pub parameters: Vec<(String, f64)>,
    /// (stage, floating-point operations)
    pub flops: Vec<(String, f64)>,
    pub memory_bytes: f64,
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
pub fn estimate(recipe: &Recipe) -> Estimate {
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
    let largest = recipe.sizes().last().map_or(0.0, |s| size_of(s));
    Estimate {
        parameters: recipe.sizes().iter().map(|s| (s.to_string(), size_of(s))).collect(),
        flops,
        memory_bytes: memory(recipe, largest, rm),
    }
}

/// PPO holds the most: policy, its average and value with gradient and two moments, reference, reward; and a
/// step's activations, about 34 floats a channel, layer and token (Korthikanti et al. 2022), and its logits.
fn memory(recipe: &Recipe, policy: f64, rm: f64) -> f64 {
    let weights = 4.0 * (policy * 6.0 + rm * 5.0);
    let tokens = (recipe.ppo.minibatch * 2 * recipe.ppo.max_new).max(recipe.pretrain.token_budget) as f64;
    let widest = recipe.model.values().map(|s| s.layers * s.channels).max().unwrap_or(0) as f64;
    weights + 4.0 * tokens * (34.0 * widest + 3.0 * recipe.tokenizer.vocab as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_counted() {
        let estimate = estimate(&Recipe::load("mini", &[]).unwrap());
        let names: Vec<&str> = estimate.flops.iter().map(|(n, _)| n.as_str()).collect();
        assert!(names.starts_with(&["S.base", "S.sft", "S.init", "L.base"]), "{names:?}");
        assert!(estimate.flops.iter().all(|(_, f)| *f > 0.0));
        assert!(estimate.parameters[1].1 >= 10.0 * estimate.parameters[0].1, "L is at least ten times S");
        assert!(estimate.memory_bytes > 1e6);
    }

    #[test]
    fn gpt2_has_124_million() {
        let shape = Shape { layers: 12, channels: 768, heads: 12, context: 1024, ..Shape::default() };
        assert!((parameters(&shape, 50257) / 124.4e6 - 1.0).abs() < 0.01);
    }
}
