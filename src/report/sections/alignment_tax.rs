//! What tuning takes away from the pretrained model.

use super::Section;
use crate::plot::{Bar, BarPlot};
use crate::report::Run;
use crate::report::claims::{Claim, Measured, TUNED, pairs};
use crate::report::figures::{by_size, plain};
use crate::report::tables::html_table;
use rlhf_core::stats::Interval;
use std::cmp::Ordering::{Greater, Less};

/// Losses have no intervals; a hundredth of a nat is no difference.
const FORGETS: Claim = Claim {
    subject: "",
    words: ["less loss on pretraining text than before", "no difference", "more"],
    paper: Some(("PPO forgets some of what pretraining taught", Greater)),
    slack: 0.01,
    show: Measured::number,
};

const GIVES_BACK: Claim = Claim {
    paper: Some(("PPO-ptx forgets less than PPO", Less)),
    words: ["less", "no difference", "more loss"],
    ..FORGETS
};

const SKILLS: Claim = Claim {
    subject: "Skills, all together",
    words: ["worse", "no clear difference", "better"],
    paper: None,
    slack: 0.0,
    show: Measured::percent,
};

pub fn section(run: &Run) -> Option<Section> {
    let losses = &run.results.loss_on_pretraining_text;
    let loss = |model: &str| losses.get(model).copied().map(Measured::exact);
    let skill = |model: &str| solved(run, model);
    let mut plots: Vec<String> =
        plain(run, "Loss on held-out pretraining text ↓", "nats a token", losses).into_iter().collect();
    if !run.results.skills.is_empty() {
        let bar = |m: Measured| Bar { value: 100.0 * m.value, interval: Some((100.0 * m.low, 100.0 * m.high)) };
        let plot = by_size(run, "Skills of the pretraining text ↑", "% solved", |model| skill(model).map(bar));
        plots.push(BarPlot { unit: "%", ceiling: Some(100.0), ..plot }.svg());
    }
    let mut section = Section::of_plots(
        "alignment-tax",
        "What alignment costs",
        "The alignment tax: what tuning takes away from the pretrained model on its own text. PPO-ptx mixes pretraining \
         gradients into every step to give it back. The losses have no intervals.",
        plots,
    )?;
    section.body += &table(run);
    Some(section.found([
        FORGETS.sentence(&pairs(&run.sizes, &["ppo"], "base", loss)),
        GIVES_BACK.sentence(&pairs(&run.sizes, &["ppo_ptx"], "ppo", loss)),
        SKILLS.sentence(&pairs(&run.sizes, &TUNED, "base", skill)),
    ]))
}

/// The share of the items of all skills together; each has as many.
fn solved(run: &Run, model: &str) -> Option<Measured> {
    let shares: Vec<f64> = run.results.skills.values().filter_map(|skill| skill.get(model).copied()).collect();
    let items = run.recipe.as_ref()?.eval.skills;
    let i = Interval::wilson(shares.iter().sum::<f64>() * items as f64, shares.len() * items);
    (i.n > 0).then_some(Measured { value: i.rate, low: i.low, high: i.high })
}

/// Skill by skill.
fn table(run: &Run) -> String {
    let skills = &run.results.skills;
    let heads: Vec<String> = skills.keys().map(|skill| format!("{} ↑", skill.replace('_', " "))).collect();
    let heads: Vec<&str> = std::iter::once("model").chain(heads.iter().map(String::as_str)).collect();
    let cell = |share: Option<&f64>| share.map_or("–".into(), |share| format!("{:.0} %", 100.0 * share));
    let row = |model: String| {
        let cells = skills.values().map(|skill| cell(skill.get(&model)));
        std::iter::once(model.clone()).chain(cells).collect()
    };
    let tested = run.models().into_iter().filter(|model| skills.values().any(|skill| skill.contains_key(model)));
    let rows: Vec<Vec<String>> = tested.map(row).collect();
    if rows.is_empty() { String::new() } else { html_table(&heads, &rows) }
}
