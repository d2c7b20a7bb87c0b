//! The same prompts, answered by every model.

use super::Run;
use crate::plot::escape;
use serde_json::Value;

pub fn side_by_side(run: &Run) -> String {
    if run.samples.is_empty() {
        return String::new();
    }
    let boxes: String = run.samples.iter().map(sample).collect();
    format!(
        "<h2>Samples, side by side</h2><p>Held-out prompts, drawn before anything was generated: none was picked by hand. \
         At the right, the score by the reward model and, where there is one, by gold.</p>{boxes}"
    )
}

fn sample(sample: &Value) -> String {
    let prompt = escape(sample["prompt"].as_str().unwrap_or_default());
    let answers = sample["answers"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |a: &Value| {
        let figure = |key: &str, name: &str| a[key].as_f64().map_or(String::new(), |v| format!("{name} {v:.2} "));
        let ended = if a["ended"] == false { "…" } else { "" };
        format!(
            "<tr><td>{}</td><td>{}{ended}</td><td>{}{}</td></tr>",
            escape(a["model"].as_str().unwrap_or_default()),
            escape(a["text"].as_str().unwrap_or_default().trim()),
            figure("reward", "RM"),
            figure("gold", "gold"),
        )
    };
    let rows: String = answers.iter().map(row).collect();
    format!("<div class=\"sample\"><div class=\"prompt\">{prompt}</div><table>{rows}</table></div>")
}
