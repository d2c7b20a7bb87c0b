//! How to talk to the model, and how to make the run again: commands that can be typed as they stand.

use super::Section;
use crate::plot::escape;
use crate::report::{Run, chat};
use crate::stop::command;
use std::path::PathBuf;

pub fn section(run: &Run) -> Option<Section> {
    let talk = chat(&run.dir, &run.results, &run.sizes);
    let talk = talk.map_or(String::new(), |chat| format!("<p>Talk to the model:</p><pre>{}</pre>", escape(&chat)));
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let name = run.dir.file_name().map_or("run".into(), |name| name.to_string_lossy());
    let out = path(run.dir.with_file_name(format!("{name}-again")));
    let mut words = ["rlhf", "run", &path(run.dir.join("recipe.toml")), "--out", &out].map(String::from).to_vec();
    if run.results.device == "cpu" {
        words.extend(["--device", "cpu"].map(String::from));
    }
    let environment = serde_json::to_string_pretty(&run.environment).unwrap_or_default();
    let body = format!(
        "{talk}<p>Repeat this run; the same recipe, seed, device and program give the same numbers:</p><pre>{}</pre>\
         <p>Paths are as seen from where this page was made. In a clone, <code>cargo run --release --</code> stands in place \
         of <code>rlhf</code>.</p><details><summary>recipe.toml</summary><pre>{}</pre></details>\
         <details><summary>environment.json</summary><pre>{}</pre></details>",
        escape(&command(&words)),
        escape(&run.text),
        escape(&environment)
    );
    Some(Section::new("again", "Talk to the model, repeat the run", body))
}
