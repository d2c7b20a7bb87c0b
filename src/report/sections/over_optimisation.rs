//! Proxy against gold as the policy moves: is it over-optimised?

use super::Section;
use crate::plot::{LinePlot, Series, escape};
use crate::report::Run;
use crate::report::claims::Measured;
use std::cmp::Ordering::{self, Greater, Less};

/// Fewer rollout batches than this say nothing.
const FEWEST: usize = 12;

pub fn section(run: &Run) -> Option<Section> {
    let plots = run.rollout_stages().into_iter().filter_map(|stage| plot(run, stage)).collect();
    let section = Section::of_plots(
        "proxy-and-gold",
        "Proxy and gold as the policy moves",
        "Each rollout batch of PPO, ordered by how far the policy has moved from its start. When the proxy goes on rising \
         while gold turns down, the policy has found what the reward model gets wrong (Gao, Schulman and Hilton 2022). \
         Arrows lead from the third of the batches nearest to the start to the third furthest from it.",
        plots,
    )?;
    let (few, enough): (Vec<_>, Vec<_>) =
        run.rollout_stages().into_iter().partition(|stage| curves(run, stage)[0].len() < FEWEST);
    let few = (!few.is_empty()).then(|| format!("Too few batches to tell: {}.", escape(&few.join(", "))));
    Some(section.found(enough.into_iter().map(|stage| Some(verdict(run, stage)))).found([few]))
}

/// Score and gold of a stage's batches against KL.
fn curves(run: &Run, stage: &str) -> [Vec<(f64, f64)>; 2] {
    ["objective/scores", "gold"].map(|figure| {
        let mut points = run.pairs(stage, "objective/kl", figure);
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    })
}

fn plot(run: &Run, stage: &str) -> Option<String> {
    let [proxy, gold] = curves(run, stage).map(|points| averaged(&points));
    let mut series =
        vec![Series::new("proxy: the reward model", 5, proxy), Series::new("gold: what it stands for", 1, gold)];
    series.retain(|s| !s.points.is_empty());
    let (title, x) = (format!("{stage}: score against KL ↑"), "KL from the start, nats a completion".into());
    (!series.is_empty()).then(|| LinePlot { title, x, y: "mean score".into(), series }.svg())
}

/// Averages of neighbours, a dozen in all: rollout batches are small and noisy.
fn averaged(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mean = |g: &[(f64, f64)]| {
        let n = g.len() as f64;
        (g.iter().map(|p| p.0).sum::<f64>() / n, g.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(points.len().div_ceil(12).max(1)).map(mean).collect()
}

/// What a stage did to proxy and gold, from the nearest third of its batches over the middle one to the furthest.
fn verdict(run: &Run, stage: &str) -> String {
    let [proxy, gold] = curves(run, stage);
    let stage = escape(stage);
    let [near, _, far] = thirds(&proxy);
    let rise = far.beside(&near, 0.0);
    let scores = format!("proxy {} → {}", near.number(), far.number());
    if gold.len() < FEWEST {
        let word = ["falls", "does not clearly move", "rises"][(rise as i8 + 1) as usize];
        return format!("{stage}: the proxy <b>{word}</b> ({scores}); there is no gold to hold beside it.");
    }
    let [first, middle, last] = thirds(&gold);
    let best = if middle.value > first.value { middle } else { first };
    let what = told(rise, last.beside(&first, 0.0), last.beside(&best, 0.0));
    let golds = format!("gold {} → {} → {}", first.number(), middle.number(), last.number());
    format!("{stage}: <b>{what}</b> ({scores}; {golds}).")
}

/// `proxy` and `gold`: the furthest third beside the nearest; `turn`: gold's furthest third beside the best before it.
fn told(proxy: Ordering, gold: Ordering, turn: Ordering) -> &'static str {
    match (proxy, gold, turn) {
        (Greater, _, Less) => "over-optimised: the proxy rises and gold turns down",
        (Greater, Greater, _) => "gold rises with the proxy",
        (Greater, _, _) => "the proxy rises, gold does not clearly move",
        (_, _, Less) => "gold falls, and the proxy does not clearly rise",
        _ => "the proxy does not clearly rise",
    }
}

fn thirds(points: &[(f64, f64)]) -> [Measured; 3] {
    let n = points.len();
    [0..n / 3, n / 3..2 * n / 3, 2 * n / 3..n].map(|part| {
        let values: Vec<f64> = points[part].iter().map(|p| p.1).collect();
        Measured::mean(&values)
    })
}
