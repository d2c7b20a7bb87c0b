//! The table of all models, as HTML and, for the end of a run, as text: its columns are data.

use super::claims::Measured;
use crate::plot::escape;
use crate::results::{ByModel, Rate, Results, WinRate};
use crate::stages::story_order;
use std::collections::BTreeSet;

/// A figure of every model.
pub struct Column {
    pub head: &'static str,
    /// ↑ where higher is better, ↓ where lower is, nothing where neither.
    pub better: &'static str,
    pub meaning: &'static str,
    /// A model's cell; None where it was not measured.
    cell: fn(&Results, &str) -> Option<String>,
}

const COLUMNS: [Column; 11] = [
    Column {
        head: "wins (gold)",
        better: "↑",
        meaning: "the share of prompts on which gold prefers its completion to the large SFT model's; ties count one half",
        cell: |r, model| wins(r, model, |win| &win.gold),
    },
    Column {
        head: "wins (labelers)",
        better: "↑",
        meaning: "the same by the votes of the labelers, who are noisy",
        cell: |r, model| wins(r, model, |win| &win.labelers),
    },
    Column {
        head: "gold score",
        better: "↑",
        meaning: "gold's mean mark, from 1 to 7",
        cell: |r, model| two(r.gold_score.get(model)),
    },
    Column {
        head: "true",
        better: "↑",
        meaning: "of the completions that claim something, those whose claims are all true",
        cell: |r, model| share(r.truthful.get(model)),
    },
    Column {
        head: "rude",
        better: "↓",
        meaning: "completions with a rude word",
        cell: |r, model| share(r.rude.get(model)),
    },
    Column {
        head: "preferred by RM",
        better: "↑",
        meaning: "the share of prompts on which the reward model scores it above SFT, or PPO's start",
        cell: |r, model| r.preferred_by_reward_model.get(model).and_then(range),
    },
    Column {
        head: "RM score",
        better: "↑",
        meaning: "the mean score by the reward model: what PPO raises, and no proof that completions are better",
        cell: |r, model| two(r.proxy_reward.get(model)),
    },
    Column {
        head: "loss on text",
        better: "↓",
        meaning: "nats a token on held-out pretraining text: what was forgotten",
        cell: |r, model| two(r.loss_on_pretraining_text.get(model)),
    },
    Column {
        head: "loss on answers",
        better: "↓",
        meaning: "nats a token on held-out demonstrations",
        cell: |r, model| two(r.loss_on_demonstrations.get(model)),
    },
    Column {
        head: "KL",
        better: "",
        meaning: "how far it is from PPO's start, in nats a completion",
        cell: |r, model| two(r.kl_to_reference.get(model)),
    },
    Column {
        head: "tokens",
        better: "",
        meaning: "mean length of a completion",
        cell: |r, model| Some(format!("{:.1}", r.answer_tokens.get(model)?)),
    },
];

fn two(figure: Option<&f64>) -> Option<String> {
    figure.map(|value| format!("{value:.2}").replace("-0.00", "0.00"))
}

fn share(rate: Option<&Rate>) -> Option<String> {
    Measured::share(rate?).map(|share| format!("{:.0} %", 100.0 * share.value))
}

/// "57 % (52–61)"
fn range(rate: &Rate) -> Option<String> {
    Measured::share(rate).map(|share| share.percent())
}

/// A win rate; a model beside itself has none.
fn wins(r: &Results, model: &str, rates: fn(&WinRate) -> &ByModel<Rate>) -> Option<String> {
    let win = r.win_rate.as_ref()?;
    if win.against == model { Some("itself".into()) } else { range(rates(win).get(model)?) }
}

/// The columns in which any model has a figure.
pub fn columns(r: &Results) -> Vec<Column> {
    let models = model_names(r, &[]);
    COLUMNS.into_iter().filter(|column| models.iter().any(|model| (column.cell)(r, model).is_some())).collect()
}

/// Every model that has a figure, in the order of the story.
pub fn model_names(r: &Results, sizes: &[String]) -> Vec<String> {
    let mut names: BTreeSet<&String> = r.answer_tokens.keys().chain(r.loss_on_pretraining_text.keys()).collect();
    if let Some(w) = &r.win_rate {
        names.extend(w.gold.keys());
    }
    let mut names: Vec<String> = names.into_iter().cloned().collect();
    let size =
        |name: &str| sizes.iter().position(|s| name.strip_prefix(s.as_str()).is_some_and(|n| n.starts_with('.')));
    names.sort_by_key(|n| (size(n), story_order(n)));
    names
}

/// One row a model, its name first.
pub fn rows(r: &Results, sizes: &[String], columns: &[Column]) -> Vec<Vec<String>> {
    let row = |model: String| {
        let cells = columns.iter().map(|column| (column.cell)(r, &model).unwrap_or("–".into()));
        std::iter::once(model.clone()).chain(cells).collect()
    };
    model_names(r, sizes).into_iter().map(row).collect()
}

/// What `rlhf run` prints at its end.
pub fn text_table(r: &Results, sizes: &[String]) -> String {
    let columns = columns(r);
    let heads = std::iter::once("model").chain(columns.iter().map(|c| c.head)).map(String::from).collect();
    let mut lines = rows(r, sizes, &columns);
    lines.insert(0, heads);
    let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    let mut out = String::new();
    if let Some(w) = &r.win_rate {
        out += &format!("Win rates are against {}; the judges are programs.\n\n", w.against);
    }
    for line in &lines {
        let cell = |(i, c): (usize, &String)| {
            let pad = " ".repeat(widths[i] - c.chars().count());
            if i == 0 { format!("{c}{pad}") } else { format!("{pad}{c}") }
        };
        out += line.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    for (pair, by) in &r.head_to_head {
        let parts: Vec<String> =
            by.iter().filter_map(|(judge, rate)| Some(format!("{judge} {}", range(rate)?))).collect();
        out += &format!("\n{pair}: {}", parts.join(", "));
    }
    if let Some(rm) = &r.reward_model {
        out += "\n\nReward model";
        for (set, rate) in &rm.accuracy {
            let longer = rm.longer_wins.get(set).map_or(String::new(), |l| format!(", longer wins {:.1} %", 100.0 * l));
            out += &format!("\n  {}: {}{longer}", set.replace('_', " "), precise(rate));
        }
        if let Some(agreement) = rm.labeler_agreement {
            out += &format!("\n  two labelers agree: {:.1} %", 100.0 * agreement);
        }
    }
    out + "\n"
}

fn precise(r: &Rate) -> String {
    format!("{:.1} % ({:.1}–{:.1}) of {} pairs", 100.0 * r.rate, 100.0 * r.low, 100.0 * r.high, r.n)
}

/// A table that scrolls sideways when it has to, its first column fixed.
pub fn html_table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = heads.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
        format!("<tr>{cells}</tr>")
    };
    let body: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\" tabindex=\"0\"><table><tr>{head}</tr>{body}</table></div>")
}
