//! How long each stage took.

use super::Section;
use crate::progress::clock;
use crate::report::Run;
use crate::report::tables::html_table;

pub fn section(run: &Run) -> Option<Section> {
    let stages = run.results.stages.iter();
    let rows: Vec<_> = stages.map(|(name, s)| vec![name.clone(), s.steps.to_string(), clock(s.seconds)]).collect();
    let body = html_table(&["stage", "steps", "time"], &rows);
    (!rows.is_empty()).then(|| Section::new("stages", "Stages", body))
}
