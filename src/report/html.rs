//! The page: sections in the order of the story, each with a sentence on how to read it.

use super::{Run, figures, samples, tables};
use crate::plot::{STYLE, escape};
use crate::progress::clock;

const PAGE_STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1180px; margin: 0 auto; padding: 12px 20px 60px; }
h1 { font-size: 24px; margin: 12px 0 4px; } h2 { font-size: 18px; margin: 34px 0 6px; }
p { max-width: 72em; margin: 6px 0; } .note { color: var(--soft); }
.honest { border-left: 4px solid var(--c1); padding: 2px 12px; margin: 12px 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); gap: 12px; margin: 10px 0; }
.plots svg { width: 100%; height: auto; border: 1px solid var(--grid); border-radius: 6px; }
table { border-collapse: collapse; margin: 10px 0; font-size: 13.5px; } th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; }
.sample { border: 1px solid var(--grid); border-radius: 6px; margin: 10px 0; padding: 6px 12px; }
.sample table { width: 100%; } .sample td { text-align: left; white-space: pre-wrap; vertical-align: top; } .sample td:first-child { white-space: nowrap; color: var(--soft); width: 7em; } .sample td:last-child { text-align: right; color: var(--soft); width: 9em; white-space: nowrap; }
.prompt { white-space: pre-wrap; font-weight: 600; }
.scroll { overflow-x: auto; } pre { overflow-x: auto; font-size: 12.5px; border: 1px solid var(--grid); border-radius: 6px; padding: 8px 12px; } summary { cursor: pointer; margin: 8px 0; }
";

pub fn page(run: &Run) -> String {
    let title = format!("rlhf run {} (seed {})", run.results.recipe, run.results.seed);
    let body: String = [
        header(run, &title),
        figures::win_rates(run),
        tables::models(run),
        figures::demonstrations(run),
        figures::reward_model(run),
        figures::over_optimisation(run),
        figures::alignment_tax(run),
        figures::manners(run),
        figures::lengths(run),
        samples::side_by_side(run),
        figures::curves(run),
        tables::warnings(run),
        tables::metrics(run),
        tables::stages(run),
        appendix(run),
    ]
    .concat();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{0}</title><style>{STYLE}{PAGE_STYLE}</style></head>\
         <body>{body}</body></html>\n",
        escape(&title)
    )
}

fn header(run: &Run, title: &str) -> String {
    let r = &run.results;
    let judges = match r.win_rate.is_some() {
        true => {
            "<b>The judges are programs.</b> <i>Gold</i> is a checklist computed by code; a <i>labeler</i> is gold plus \
             random taste and error. No person judged anything here. The world is small and made by code, so compare the \
             shape of these results with the InstructGPT paper's, not their size."
        }
        false => {
            "<b>No person judged these answers.</b> The rankings that the reward model learnt from are human; what is \
             measured below is the reward model's own accuracy on held-out human choices, and what PPO does to its score. \
             A model of this size knows little: read the samples before the figures."
        }
    };
    format!(
        "<h1>{}</h1><p class=\"note\">{}, {} in all. Whiskers and ranges are 95 % intervals.</p><div class=\"honest\">\
         <p>{judges}</p><p>{}</p></div>",
        escape(title),
        escape(&r.device),
        clock(r.seconds),
        escape(&r.world)
    )
}

fn appendix(run: &Run) -> String {
    let environment = serde_json::to_string_pretty(&run.environment).unwrap_or_default();
    format!(
        "<h2>How to repeat this run</h2><p>Save the recipe below as <code>recipe.toml</code> and type \
         <code>rlhf run recipe.toml --out DIR</code>. Same recipe, seed, device and program: the same numbers.</p>\
         <details><summary>recipe.toml</summary><pre>{}</pre></details>\
         <details><summary>environment.json</summary><pre>{}</pre></details>",
        escape(&run.recipe),
        escape(&environment)
    )
}

/// A heading, a sentence, and plots beside each other. Nothing at all when there is no plot.
pub fn section(title: &str, how_to_read: &str, plots: Vec<String>) -> String {
    if plots.is_empty() {
        return String::new();
    }
    format!("<h2>{title}</h2><p>{how_to_read}</p><div class=\"plots\">{}</div>", plots.concat())
}
