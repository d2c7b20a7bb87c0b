//! The same prompts, completed by every model, after what a model of this size can be expected to do.

use super::Section;
use crate::plot::escape;
use crate::report::{Run, millions};
use serde_json::Value;

/// What a model with fewer parameters than this can do.
const ABILITIES: [(f64, &str); 4] = [
    (
        1e7,
        "A model of this size learns the forms of its text: words, short whole sentences, how a question and its completion look. \
         It mixes up names and facts, and says something else to the same question when it is asked again",
    ),
    (
        1e8,
        "A model of this size writes simple text fluently, keeps to a subject for some sentences and knows few facts",
    ),
    (1e9, "A model of this size writes fluent paragraphs and knows common facts; the rest it makes up"),
    (f64::INFINITY, "A model of this size can be of use, and still makes things up"),
];

const GPT2: f64 = 124e6;

pub fn section(run: &Run) -> Option<Section> {
    let boxes: String = run.samples.iter().map(sample).collect();
    let body = format!(
        "{}<p>Held-out prompts, drawn before anything was generated: none was picked by hand. Beside each completion stand its \
         score by the reward model (RM) and, where there is one, by gold; … is one that was cut off.</p>{boxes}",
        expect(run)
    );
    (!run.samples.is_empty()).then(|| Section::new("samples", "Samples, side by side", body))
}

/// How good models of this size can be.
fn expect(run: &Run) -> String {
    let Some((size, parameters)) = run.sizes.last().and_then(|size| Some((size, *run.parameters.get(size)?))) else {
        return String::new();
    };
    let ability = ABILITIES.iter().find(|(fewer, _)| parameters < *fewer).map_or("", |(_, what)| what);
    let beside = match GPT2 / parameters {
        times if times >= 1.5 => format!("; the smallest GPT-2 has 124 million, {times:.0} times as many"),
        _ => String::new(),
    };
    let gold = match run.results.win_rate.is_some() {
        true => {
            " Gold gives full marks for what its checklist can see (the words that were asked for, claims that the world's \
             tables can decide, a courtesy, whole sentences, an end), however little sense the sentence makes."
        }
        false => "",
    };
    format!(
        "<p class=\"honest\"><b>What to expect.</b> {} has {} parameters{beside}, and the paper's models 1,300 to 175,000 \
         million. {ability}.{gold} Look for the difference between the models, not for good ones.</p>",
        escape(size),
        millions(parameters)
    )
}

fn sample(sample: &Value) -> String {
    let prompt = escape(sample["prompt"].as_str().unwrap_or_default());
    let completions = sample["answers"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |a: &Value| {
        let text = match a["text"].as_str().unwrap_or_default().trim() {
            "" => "(nothing)",
            text => text,
        };
        let figure = |key: &str, name: &str| a[key].as_f64().map_or(String::new(), |v| format!("{name} {v:.2} "));
        let ended = if a["ended"] == false { "…" } else { "" };
        format!(
            "<div class=\"completion\"><b>{}</b><span>{}{ended}</span><i>{}{}</i></div>",
            escape(a["model"].as_str().unwrap_or_default()),
            escape(text),
            figure("reward", "RM"),
            figure("gold", "gold"),
        )
    };
    let completions: String = completions.iter().map(one).collect();
    format!("<div class=\"sample\"><div class=\"prompt\">{prompt}</div>{completions}</div>")
}
