//! Every figure of every model in one table, and what its columns are.

use super::Section;
use crate::report::Run;
use crate::report::claims::Measured;
use crate::report::tables::{Column, columns, html_table, rows};
use crate::results::{ByModel, Rate};

pub fn section(run: &Run) -> Option<Section> {
    let columns = columns(&run.results);
    let heads: Vec<String> = columns.iter().map(|c| format!("{} {}", c.head, c.better)).collect();
    let heads: Vec<&str> = std::iter::once("model").chain(heads.iter().map(|h| h.trim())).collect();
    let meaning = |c: &Column| format!("<dt>{} {}</dt><dd>{}.</dd>", c.head, c.better, c.meaning);
    let mut body = html_table(&heads, &rows(&run.results, &run.sizes, &columns));
    body += "<p>Ranges are 95 % intervals. ↑: higher is better, ↓: lower is better.</p>";
    body += &format!("<dl>{}</dl>", columns.iter().map(meaning).collect::<String>());
    let duels = &run.results.head_to_head;
    if !duels.is_empty() {
        let duel = |(pair, by): (&String, &ByModel<Rate>)| {
            let cell =
                |judge: &str| by.get(judge).and_then(Measured::share).map_or("–".into(), |rate| rate.percent());
            vec![pair.replace('>', " against "), cell("gold"), cell("labelers")]
        };
        body += "<p>Face to face, the share of prompts that the first one wins:</p>";
        body += &html_table(&["pair", "by gold", "by labelers"], &duels.iter().map(duel).collect::<Vec<_>>());
    }
    Some(Section::new("table", "All models in one table", body))
}
