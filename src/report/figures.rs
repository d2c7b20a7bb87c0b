//! The plots of a report.

use super::Run;
use super::html::section;
use crate::plot::{Bar, BarPlot, LinePlot, Series};
use crate::results::{ByModel, Rate};
use crate::stages::{STAGES, shown, story_order};

fn kind_colour(kind: &str) -> usize {
    shown().find(|s| s.name == kind).map_or(5, |s| s.colour)
}

fn bar(rate: &Rate) -> Bar {
    Bar { value: rate.rate, interval: Some((rate.low, rate.high)) }
}

/// Bars grouped by size, one a kind of model; kinds that no size has are left out.
fn by_size(run: &Run, title: &str, y: &str, value: impl Fn(&str) -> Option<Bar>) -> BarPlot {
    let bars_of =
        |kind: &str| -> Vec<Option<Bar>> { run.sizes.iter().map(|s| value(&format!("{s}.{kind}"))).collect() };
    let series = shown().map(|s| (s.label.to_string(), s.colour, bars_of(s.name)));
    BarPlot {
        title: title.into(),
        y: y.into(),
        groups: run.sizes.iter().map(|s| format!("size {s}")).collect(),
        series: series.filter(|s| s.2.iter().any(Option::is_some)).collect(),
        mark: None,
        floor: 0.0,
        ceiling: None,
    }
}

fn plain(run: &Run, title: &str, y: &str, figures: &ByModel<f64>) -> Option<String> {
    let plot = by_size(run, title, y, |model| figures.get(model).copied().map(Bar::new));
    (!plot.series.is_empty()).then(|| plot.svg())
}

/// The paper's figure 1 for this run, judged by `judge`.
pub fn figure_1(run: &Run, judge: &str, rates: &ByModel<Rate>) -> String {
    let against = run.results.win_rate.as_ref().map_or("", |w| &w.against);
    let title = format!("Win rate against {against}, judged by {judge}");
    let mut plot = by_size(run, &title, "share of prompts won", |model| rates.get(model).map(bar));
    plot.series.retain(|s| s.1 != kind_colour("init")); // the paper's figure has five kinds
    BarPlot { mark: Some(0.5), ceiling: Some(1.0), ..plot }.svg()
}

pub fn win_rates(run: &Run) -> String {
    let Some(win) = &run.results.win_rate else {
        let rates = &run.results.preferred_by_reward_model;
        let title = format!("Preferred to {} by the reward model", run.results.preferred_against);
        let plot = by_size(run, &title, "share of prompts", |m| rates.get(m).map(bar));
        let plot = BarPlot { mark: Some(0.5), ceiling: Some(1.0), ..plot };
        return section(
            "Does PPO raise the score it is trained on?",
            "The share of held-out prompts on which the reward model scores an answer above that of SFT, or of PPO's start. This judge is \
             the one that PPO optimises: a high bar shows that the optimisation works, not that people would agree.",
            if rates.is_empty() { vec![] } else { vec![plot.svg()] },
        );
    };
    section(
        "Which model is preferred?",
        "Figure 1 of the InstructGPT paper, for our world: on how many held-out prompts an answer is preferred to that of \
         the large SFT model; ties count one half, the dashed line is no difference. In the paper the small PPO-ptx model \
         beats the large base model, prompted or not.",
        vec![figure_1(run, "gold", &win.gold), figure_1(run, "labelers", &win.labelers)],
    )
}

pub fn reward_model(run: &Run) -> String {
    let Some(rm) = &run.results.reward_model else { return String::new() };
    let groups: Vec<String> = rm.accuracy.keys().cloned().collect();
    let accuracy = rm.accuracy.values().map(|r| Some(bar(r))).collect();
    let longer: Vec<Option<Bar>> = groups.iter().map(|g| rm.longer_wins.get(g).copied().map(Bar::new)).collect();
    let mut series = vec![("reward model".to_string(), 4, accuracy)];
    if longer.iter().any(Option::is_some) {
        series.push(("\u{201c}the longer answer wins\u{201d}".to_string(), 0, longer));
    }
    let plot = BarPlot {
        title: "Comparisons that the reward model predicts".into(),
        y: "share of pairs".into(),
        groups: groups.iter().map(|g| g.replace('_', " ")).collect(),
        series,
        mark: Some(0.5),
        floor: 0.0,
        ceiling: Some(1.0),
    };
    let ceiling = match rm.labeler_agreement {
        Some(a) => format!(
            "Two labelers agree on {:.1} % of comparisons, so nothing can predict one of them much better than that \
             (the paper's labelers: 72.6 %).",
            100.0 * a
        ),
        None => "Accuracy on pairs that were never trained on; the dashed line is chance.".into(),
    };
    let mut plots = vec![plot.svg()];
    let series: Vec<Series> = [("loss", "training loss", 2), ("accuracy", "training accuracy", 4)]
        .iter()
        .map(|(key, name, c)| Series::new(name, *c, run.curve("rm", key)))
        .filter(|s| !s.points.is_empty())
        .collect();
    if !series.is_empty() {
        plots.push(
            LinePlot { title: "Reward model during training".into(), x: "step".into(), y: "".into(), series }.svg(),
        );
    }
    section(
        "Does the reward model know what is preferred?",
        &format!("{ceiling} {} pairs were held out.", rm.pairs),
        plots,
    )
}

/// The stages that learn from completions and were logged, in the order of the story.
fn rollout_stages(run: &Run) -> Vec<&str> {
    let mut stages: Vec<&str> = run.metrics.keys().map(String::as_str).collect();
    stages.retain(|stage| !run.curve(stage, "objective/kl").is_empty());
    let size = |stage: &str| run.sizes.iter().position(|s| stage.starts_with(&format!("{s}.")));
    stages.sort_by_key(|s| (size(s), story_order(s)));
    stages
}

pub fn over_optimisation(run: &Run) -> String {
    let mut plots = Vec::new();
    for stage in rollout_stages(run) {
        let mut series =
            vec![Series::new("proxy: the reward model", 5, run.pairs(stage, "objective/kl", "objective/scores"))];
        let gold = run.pairs(stage, "objective/kl", "gold");
        if !gold.is_empty() {
            series.push(Series::new("gold: what it stands for", 1, gold));
        }
        series.iter_mut().for_each(|s| s.points = by_x(&s.points));
        if series[0].points.is_empty() {
            continue;
        }
        let title = format!("{stage}: score against KL");
        plots.push(
            LinePlot { title, x: "KL from the start, nats an answer".into(), y: "mean score".into(), series }.svg(),
        );
    }
    section(
        "Proxy and gold as the policy moves",
        "Each rollout batch of PPO, ordered by how far the policy has moved from its start. When the proxy goes on rising \
         while gold turns down, the policy has found what the reward model gets wrong (Gao, Schulman and Hilton 2022).",
        plots,
    )
}

/// Averages of about twelve neighbours in x: rollout batches are small and noisy.
fn by_x(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let group = sorted.len().div_ceil(12).max(1);
    let mean = |g: &[(f64, f64)]| {
        let n = g.len() as f64;
        (g.iter().map(|p| p.0).sum::<f64>() / n, g.iter().map(|p| p.1).sum::<f64>() / n)
    };
    sorted.chunks(group).map(mean).collect()
}

pub fn demonstrations(run: &Run) -> String {
    let plot = plain(run, "Loss on held-out answers", "nats a token", &run.results.loss_on_demonstrations);
    section(
        "Does SFT learn what was shown?",
        "The loss on answers of held-out demonstrations: lower is better. SFT should lower it; PPO, which is after \
         something else, may raise it again.",
        plot.into_iter().collect(),
    )
}

pub fn alignment_tax(run: &Run) -> String {
    let r = &run.results;
    let loss = plain(run, "Loss on held-out pretraining text", "nats a token", &r.loss_on_pretraining_text);
    let mut plots: Vec<String> = loss.into_iter().collect();
    for (skill, figures) in &r.skills {
        let plot = by_size(run, &format!("Skill: {}", skill.replace('_', " ")), "share solved", |m| {
            figures.get(m).copied().map(Bar::new)
        });
        plots.push(BarPlot { ceiling: Some(1.0), ..plot }.svg());
    }
    section(
        "What alignment costs",
        "The alignment tax: what tuning takes away from the pretrained model on its own text. Lower loss is better, higher \
         skill is better. Plain PPO forgets; PPO-ptx, which mixes pretraining gradients into every step, should give most of it back.",
        plots,
    )
}

pub fn manners(run: &Run) -> String {
    let r = &run.results;
    let mut plots = Vec::new();
    let shares = [
        ("Claims that are true", &r.truthful, 1.0),
        ("Answers that do all that was asked", &r.correct, 1.0),
        ("Answers that are rude", &r.rude, 0.1),
    ];
    for (title, rates, ceiling) in shares {
        if !rates.is_empty() {
            let plot = by_size(run, title, "share", |m| rates.get(m).map(bar));
            plots.push(BarPlot { ceiling: Some(ceiling), ..plot }.svg());
        }
    }
    plots.extend(plain(run, "Gold score", "mean", &r.gold_score));
    section(
        "Truth and manners",
        "Truth is counted among answers that claim something that the world's tables can decide; the others on all answers. All is checked by code.",
        plots,
    )
}

pub fn lengths(run: &Run) -> String {
    let r = &run.results;
    let plots = [
        plain(run, "Length of an answer", "tokens", &r.answer_tokens),
        plain(run, "Answers that end by themselves", "share", &r.ended),
        plain(run, "KL from PPO's start", "nats an answer", &r.kl_to_reference),
        plain(run, "Score by the reward model", "mean", &r.proxy_reward),
    ];
    section(
        "Length, ending and distance",
        "A win rate that comes with longer answers deserves suspicion: look at both. KL is measured on the model's own answers to held-out prompts.",
        plots.into_iter().flatten().collect(),
    )
}

pub fn curves(run: &Run) -> String {
    let mut plots = Vec::new();
    for stage in STAGES.iter().filter(|stage| stage.per_size) {
        let title = format!("{}: loss", stage.shown[0].label);
        let mut series = Vec::new();
        for (i, size) in run.sizes.iter().enumerate() {
            let stage = stage.of_size(size);
            series.push(Series::new(&format!("size {size}"), [3, 2, 4, 5][i % 4], run.curve(&stage, "loss")));
            series.push(
                Series::new(&format!("size {size}, held out"), [3, 2, 4, 5][i % 4], run.curve(&stage, "eval_loss"))
                    .dashed(),
            );
        }
        series.retain(|s| !s.points.is_empty());
        if !series.is_empty() {
            plots.push(LinePlot { title, x: "step".into(), y: "loss, nats a token".into(), series }.svg());
        }
    }
    for (key, title, y) in PPO_CURVES {
        let colour = |stage: &str| kind_colour(stage.split_once('.').map_or("", |s| s.1));
        let mut series: Vec<Series> = Vec::new();
        for stage in rollout_stages(run) {
            let line = Series::new(stage, colour(stage), run.curve(stage, key));
            let small = run.sizes.len() > 1 && stage.starts_with(&format!("{}.", run.sizes[0]));
            series.push(if small { line.dashed() } else { line });
        }
        series.retain(|s| !s.points.is_empty());
        if !series.is_empty() {
            plots.push(LinePlot { title: title.into(), x: "iteration".into(), y: y.into(), series }.svg());
        }
    }
    section(
        "Training curves",
        "Every step of every stage, from <code>metrics.jsonl</code>; the same lines are in the TensorBoard events.",
        plots,
    )
}

const PPO_CURVES: [(&str, &str, &str); 6] = [
    ("objective/scores", "PPO: score by the reward model", "mean"),
    ("objective/kl", "PPO: KL from the start", "nats an answer"),
    ("loss/policy_avg", "PPO: policy loss", ""),
    ("loss/value_avg", "PPO: value loss", ""),
    ("policy/clipfrac_avg", "PPO: share of tokens whose ratio was clipped", ""),
    ("policy/entropy_avg", "PPO: entropy of the policy", "nats a token"),
];
