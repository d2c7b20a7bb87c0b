//! The logged figures: those that left their healthy range, and what all of them mean.

use super::Section;
use crate::plot::escape;
use crate::report::Run;
use rlhf_core::metrics::{METRICS, Metric, warning};
use std::collections::BTreeSet;

pub fn section(run: &Run) -> Option<Section> {
    let warned = run.metrics.keys().flat_map(|stage| METRICS.iter().map(move |m| (stage, m)));
    let warned = warned.filter_map(|(stage, m)| {
        let values: Vec<f64> = run.curve(stage, m.name).into_iter().map(|(_, value)| value).collect();
        Some(format!("<li><b>{}</b>: {}</li>", escape(stage), escape(&warning(m.name, &values)?)))
    });
    let warned: String = warned.collect();
    let warned = match warned.is_empty() {
        true => "<p>None left its healthy range for long.</p>".into(),
        false => format!("<p>Outside of the healthy range, and stayed there:</p><ul>{warned}</ul>"),
    };
    let lines = run.metrics.values().flatten().filter_map(|line| line.as_object());
    let logged: BTreeSet<&str> = lines.flat_map(|line| line.keys()).map(String::as_str).collect();
    let there: Vec<_> = METRICS.iter().filter(|m| logged.contains(m.name)).collect();
    let row = |m: &&Metric| {
        let (name, meaning, healthy) = (m.name, escape(m.meaning), escape(m.healthy));
        format!("<dt><code>{name}</code></dt><dd>{meaning} Healthy: {healthy}</dd>")
    };
    let rows: String = there.iter().map(row).collect();
    let meanings =
        format!("<details><summary>What each means, and where it should be</summary><dl>{rows}</dl></details>");
    (!there.is_empty()).then(|| Section::new("figures", "The logged figures", warned + &meanings))
}
