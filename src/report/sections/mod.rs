//! The sections in the order of the story, one file each.

mod again;
mod alignment_tax;
mod by_reward;
mod curves;
mod demonstrations;
mod lengths;
mod manners;
mod metrics;
mod models;
mod over_optimisation;
mod reward_model;
mod samples;
mod stages;
mod table;
pub mod win_rates;

use super::Run;

/// A heading, what came out in sentences, and what shows it.
pub struct Section {
    /// Of the link from the contents.
    pub id: &'static str,
    pub title: &'static str,
    pub found: Vec<String>,
    pub body: String,
}

/// A section of this run, if the run has what it shows.
pub const SECTIONS: &[fn(&Run) -> Option<Section>] = &[
    models::section,
    win_rates::section,
    by_reward::section,
    table::section,
    demonstrations::section,
    reward_model::section,
    over_optimisation::section,
    alignment_tax::section,
    manners::section,
    lengths::section,
    samples::section,
    again::section,
    curves::section,
    metrics::section,
    stages::section,
];

impl Section {
    /// Text and whatever else; it found nothing yet.
    fn new(id: &'static str, title: &'static str, body: String) -> Section {
        Section { id, title, found: Vec::new(), body }
    }

    /// How to read its plots, and the plots beside each other; nothing without plots.
    fn of_plots(id: &'static str, title: &'static str, how: &str, plots: Vec<String>) -> Option<Section> {
        let body = format!("<p>{how}</p><div class=\"plots\">{}</div>", plots.concat());
        (!plots.is_empty()).then(|| Section::new(id, title, body))
    }

    fn found(mut self, sentences: impl IntoIterator<Item = Option<String>>) -> Section {
        self.found.extend(sentences.into_iter().flatten());
        self
    }
}
