//! The page: what was run, its contents, and the sections in the order of the story.

use super::Run;
use super::sections::{SECTIONS, Section};
use crate::plot::{STYLE, escape};
use crate::progress::clock;

/// `.scroll`: shadows at its sides that the ends of the table cover, so that they show where it goes on.
const PAGE_STYLE: &str = "
:root { --shade: #0003; } @media (prefers-color-scheme: dark) { :root { --shade: #fff5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1180px; margin: 0 auto; padding: 12px 12px 60px; }
h1 { font-size: 24px; margin: 12px 0 4px; } h2 { font-size: 18px; margin: 34px 0 6px; } a { color: var(--c2); }
p, ul, dl { max-width: 72em; margin: 6px 0; } ul { padding-left: 20px; } .note { color: var(--soft); } .found { font-size: 16px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; } dt { font-weight: 600; } dd { margin: 0; color: var(--soft); }
nav ul { columns: 16em; column-gap: 32px; max-width: none; } .honest { border-left: 4px solid var(--c1); padding: 2px 12px; margin: 12px 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(350px, 100%), 1fr)); gap: 12px; margin: 10px 0; }
.plots svg { width: 100%; max-width: 520px; height: auto; border: 1px solid var(--grid); border-radius: 6px; }
.scroll { overflow-x: auto; margin: 10px 0; max-width: max-content; background: linear-gradient(to right, var(--paper) 50%, transparent) 0 0 / 40px 100% no-repeat local, linear-gradient(to left, var(--paper) 50%, transparent) 100% 0 / 40px 100% no-repeat local, linear-gradient(to right, var(--shade), transparent) 0 0 / 16px 100% no-repeat scroll, linear-gradient(to left, var(--shade), transparent) 100% 0 / 16px 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: 13.5px; } th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); } th { font-weight: 600; }
.sample { border: 1px solid var(--grid); border-radius: 6px; margin: 10px 0; padding: 6px 12px; } .prompt { white-space: pre-wrap; font-weight: 600; }
.completion { display: grid; grid-template-columns: 7em 1fr 10em; gap: 0 12px; border-top: 1px solid var(--grid); padding: 3px 0; }
.completion span { white-space: pre-wrap; overflow-wrap: anywhere; } .completion b, .completion i { font: inherit; color: var(--soft); } .completion i { text-align: right; }
pre { overflow-x: auto; font-size: 12.5px; border: 1px solid var(--grid); border-radius: 6px; padding: 8px 12px; } summary { cursor: pointer; margin: 8px 0; }
@media (max-width: 640px) { .completion { grid-template-columns: 1fr auto; } .completion span { grid-row: 2; grid-column: 1 / 3; } dl { grid-template-columns: 1fr; } dd { margin-bottom: 6px; } }
";

pub fn page(run: &Run) -> String {
    let title = format!("rlhf run {} (seed {})", run.results.recipe, run.results.seed);
    let sections: Vec<Section> = SECTIONS.iter().filter_map(|section| section(run)).collect();
    let link = |s: &Section| format!("<li><a href=\"#{}\">{}</a></li>", s.id, s.title);
    let contents: String = sections.iter().map(link).collect();
    let body: String = sections.iter().map(html).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{0}</title><style>{STYLE}{PAGE_STYLE}</style></head>\
         <body>{1}<nav aria-label=\"Contents\"><ul>{contents}</ul></nav>{body}</body></html>\n",
        escape(&title),
        header(run, &title)
    )
}

fn html(section: &Section) -> String {
    let Section { id, title, found, body } = section;
    let found: String = found.iter().map(|sentence| format!("<p class=\"found\">{sentence}</p>")).collect();
    format!("<section id=\"{id}\"><h2>{title}</h2>{found}{body}</section>\n")
}

fn header(run: &Run, title: &str) -> String {
    let r = &run.results;
    let judges = match r.win_rate.is_some() {
        true => {
            "<b>The judges are programs.</b> <i>Gold</i> is a checklist computed by code; a <i>labeler</i> is gold plus \
             random taste and error. No person judged anything here. The world is small and made by code, so compare the \
             shape of these results with the paper's, not their size."
        }
        false => {
            "<b>No person judged these completions.</b> What is measured below is the reward model's own accuracy on held-out \
             choices, and what PPO does to its score. A model of this size knows little: read the samples before the figures."
        }
    };
    let short = match run.recipe.as_ref().is_some_and(|recipe| recipe.quick || recipe.smoke) {
        true => {
            "<p><b>A quick run</b> shows that every stage works, not that it learns: expect no clear differences.</p>"
        }
        false => "",
    };
    format!(
        "<h1>{}</h1><p class=\"note\">{}, {} in all. Whiskers and ranges are 95 % intervals. <i>The paper</i> is InstructGPT: \
         <a href=\"https://arxiv.org/abs/2203.02155\">Training language models to follow instructions with human feedback, \
         arXiv 2203.02155</a>.</p><div class=\"honest\"><p>{judges}</p><p>{}</p>{short}</div>",
        escape(title),
        escape(&r.device),
        clock(r.seconds),
        escape(&r.world)
    )
}
