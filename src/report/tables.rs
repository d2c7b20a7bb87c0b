//! The tables of a report, as HTML and, for the end of a run, as text.

use super::Run;
use crate::plot::escape;
use crate::progress::clock;
use crate::results::{Rate, Results};
use crate::stages::story_order;
use rlhf_core::metrics::{self, METRICS};
use std::collections::BTreeSet;

/// Every model that has a figure, in the order of the story.
fn model_names(r: &Results, sizes: &[String]) -> Vec<String> {
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

/// Column heads and one row a model: what both tables show.
fn rows(r: &Results, sizes: &[String]) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut heads = vec!["model"];
    if r.win_rate.is_some() {
        heads.extend(["wins (gold)", "wins (labelers)", "gold score", "true", "rude"]);
    } else if r.reward_model.is_some() {
        heads.extend(["preferred by RM"]);
    }
    let optional = [
        ("RM score", &r.proxy_reward),
        ("loss on text", &r.loss_on_pretraining_text),
        ("loss on answers", &r.loss_on_demonstrations),
        ("KL", &r.kl_to_reference),
    ];
    let there: Vec<_> = optional.into_iter().filter(|(_, figures)| !figures.is_empty()).collect();
    heads.extend(there.iter().map(|(head, _)| *head));
    heads.push("tokens");
    let rate = |x: Option<&Rate>| x.map_or("–".into(), range);
    let plain = |x: Option<&f64>| x.map_or("–".into(), |v| format!("{v:.2}"));
    let share = |x: Option<&Rate>| x.map_or("–".into(), |v| format!("{:.0} %", 100.0 * v.rate));
    let row = |m: &String| {
        let mut cells = vec![m.clone()];
        match &r.win_rate {
            Some(w) => cells.extend([
                rate(w.gold.get(m)),
                rate(w.labelers.get(m)),
                plain(r.gold_score.get(m)),
                share(r.truthful.get(m)),
                share(r.rude.get(m)),
            ]),
            None if r.reward_model.is_some() => cells.push(rate(r.preferred_by_reward_model.get(m))),
            None => {}
        }
        cells.extend(there.iter().map(|(_, figures)| plain(figures.get(m))));
        cells.push(r.answer_tokens.get(m).map_or("–".into(), |v| format!("{v:.1}")));
        cells
    };
    (heads, model_names(r, sizes).iter().map(row).collect())
}

/// "57 % (52–61)"
fn range(rate: &Rate) -> String {
    format!("{:.0} % ({:.0}–{:.0})", 100.0 * rate.rate, 100.0 * rate.low, 100.0 * rate.high)
}

pub fn models(run: &Run) -> String {
    let (heads, rows) = rows(&run.results, &run.sizes);
    let mut out = html_table(&heads, &rows);
    let r = &run.results;
    if !r.head_to_head.is_empty() {
        let duel = |(pair, by): (&String, &std::collections::BTreeMap<String, Rate>)| {
            let cell = |judge: &str| by.get(judge).map_or("–".into(), range);
            vec![pair.replace('>', " against "), cell("gold"), cell("labelers")]
        };
        let duels: Vec<_> = r.head_to_head.iter().map(duel).collect();
        out += "<p>Face to face, the share of prompts that the first one wins:</p>";
        out += &html_table(&["pair", "gold", "labelers"], &duels);
    }
    out
}

/// What `rlhf run` prints at its end.
pub fn text_table(r: &Results, sizes: &[String]) -> String {
    let (heads, mut lines) = rows(r, sizes);
    lines.insert(0, heads.iter().map(|h| h.to_string()).collect());
    let width = |c: usize| lines.iter().map(|l| l[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
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
        let parts: Vec<String> = by.iter().map(|(judge, rate)| format!("{judge} {}", range(rate))).collect();
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

pub fn stages(run: &Run) -> String {
    let row =
        |(name, s): (&String, &crate::results::StageResult)| vec![name.clone(), s.steps.to_string(), clock(s.seconds)];
    let rows: Vec<_> = run.results.stages.iter().map(row).collect();
    format!("<h2>Stages</h2>{}", html_table(&["stage", "steps", "time"], &rows))
}

/// The figures that left their healthy range and stayed outside, stage by stage; nothing if none did.
pub fn warnings(run: &Run) -> String {
    let mut items = String::new();
    for (stage, m) in run.metrics.keys().flat_map(|stage| METRICS.iter().map(move |m| (stage, m))) {
        let values: Vec<f64> = run.curve(stage, m.name).into_iter().map(|(_, value)| value).collect();
        if let Some(what) = metrics::warning(m.name, &values) {
            items += &format!("<li><b>{}</b>: {}</li>", escape(stage), escape(&what));
        }
    }
    if items.is_empty() { items } else { format!("<h2>Outside of the healthy range</h2><ul>{items}</ul>") }
}

/// Every figure that was logged, what it means and where it should be.
pub fn metrics(run: &Run) -> String {
    let logged: BTreeSet<&str> = run
        .metrics
        .values()
        .flatten()
        .filter_map(|l| l.as_object())
        .flat_map(|o| o.keys())
        .map(String::as_str)
        .collect();
    let rows: Vec<String> = METRICS
        .iter()
        .filter(|m| logged.contains(m.name))
        .map(|m| {
            let (name, meaning, healthy) = (m.name, escape(m.meaning), escape(m.healthy));
            format!("<tr><td><code>{name}</code></td><td style=\"text-align:left;white-space:normal\">{meaning}</td><td style=\"text-align:left;white-space:normal\">{healthy}</td></tr>")
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<details><summary><b>What the logged figures mean, and where they should be</b></summary><table><tr><th>name</th>\
         <th style=\"text-align:left\">meaning</th><th style=\"text-align:left\">healthy</th></tr>{}</table></details>",
        rows.concat()
    )
}

fn html_table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = heads.iter().map(|h| format!("<th>{}</th>", escape(h))).collect();
    let row = |cells: &Vec<String>| {
        let cells: String = cells.iter().map(|c| format!("<td>{}</td>", escape(c))).collect();
        format!("<tr>{cells}</tr>")
    };
    let body: String = rows.iter().map(row).collect();
    format!("<div class=\"scroll\"><table><tr>{head}</tr>{body}</table></div>")
}
