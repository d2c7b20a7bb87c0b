//! Every step of every stage.

use super::Section;
use crate::plot::{LinePlot, Series};
use crate::report::Run;
use crate::stages::{STAGES, shown};

const PPO_CURVES: [(&str, &str, &str); 6] = [
    ("objective/scores", "PPO: score by the reward model", "mean"),
    ("objective/kl", "PPO: KL from the start", "nats a completion"),
    ("loss/policy_avg", "PPO: policy loss", ""),
    ("loss/value_avg", "PPO: value loss", ""),
    ("policy/clipfrac_avg", "PPO: share of tokens whose ratio was clipped", ""),
    ("policy/entropy_avg", "PPO: entropy of the policy", "nats a token"),
];

pub fn section(run: &Run) -> Option<Section> {
    let losses = STAGES.iter().filter(|stage| stage.per_size).map(|stage| {
        let mut series = Vec::new();
        for (i, size) in run.sizes.iter().enumerate() {
            let (name, colour) = (stage.of_size(size), [3, 2, 4, 5][i % 4]);
            series.push(Series::new(&format!("size {size}"), colour, run.curve(&name, "loss")));
            series.push(Series::new(&format!("size {size}, held out"), colour, run.curve(&name, "eval_loss")).dashed());
        }
        LinePlot {
            title: format!("{}: loss", stage.shown[0].label),
            x: "step".into(),
            y: "nats a token".into(),
            series,
        }
    });
    let ppo = PPO_CURVES.iter().map(|(key, title, y)| {
        let series = run.rollout_stages().into_iter().map(|stage| line(run, stage, key)).collect();
        LinePlot { title: title.to_string(), x: "iteration".into(), y: y.to_string(), series }
    });
    let drawn = losses.chain(ppo).filter(|plot| plot.series.iter().any(|s| !s.points.is_empty()));
    Section::of_plots(
        "curves",
        "Training curves",
        "Every step of every stage, from <code>metrics.jsonl</code>; the same lines are in the TensorBoard events.",
        drawn.map(|plot| plot.svg()).collect(),
    )
}

/// A stage has the colour of its model; the small size is dashed.
fn line(run: &Run, stage: &str, key: &str) -> Series {
    let (size, kind) = stage.split_once('.').unwrap_or(("", stage));
    let colour = shown().find(|s| s.name == kind).map_or(5, |s| s.colour);
    let series = Series::new(stage, colour, run.curve(stage, key));
    if run.sizes.len() > 1 && run.sizes[0] == size { series.dashed() } else { series }
}
