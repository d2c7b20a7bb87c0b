//! Figure 1 of the paper: who is preferred, by gold and by the labelers.

use super::Section;
use crate::plot::{Bar, BarPlot};
use crate::report::Run;
use crate::report::claims::{Claim, Measured, Pair, TUNED};
use crate::report::figures::{by_size, share};
use crate::results::{ByModel, Rate, WinRate};
use std::cmp::Ordering::Greater;

const PREFERRED: Claim = Claim {
    subject: "",
    words: ["the other is preferred", "no clear difference", "the first is preferred"],
    paper: Some((
        "PPO is preferred to SFT, and the small PPO-ptx model even to the large base model, prompted or not",
        Greater,
    )),
    slack: 0.0,
    show: Measured::percent,
};

/// A figure for the judge of this name.
pub fn figure_1(run: &Run, win: &WinRate, judge: &str, rates: &ByModel<Rate>) -> String {
    let bar = |model: &str| match model == win.against {
        true => Some(Bar { value: 50.0, interval: None }), // itself
        false if model.ends_with(".init") => None,         // the paper's figure has five kinds
        false => share(rates.get(model)?),
    };
    let plot = by_size(run, &format!("Win rate against {}, by {judge} ↑", win.against), "% of prompts won", bar);
    BarPlot { unit: "%", mark: Some(50.0), ceiling: Some(100.0), ..plot }.svg()
}

pub fn section(run: &Run) -> Option<Section> {
    let win = run.results.win_rate.as_ref()?;
    let found = ["gold", "labelers"]
        .map(|judge| Some(format!("<i>By {judge}.</i> {}", PREFERRED.sentence(&pairs(run, win, judge))?)));
    let how = format!(
        "Figure 1 of the paper, for our world: on how many held-out prompts a completion is preferred to that of {}; ties \
         count one half, the dashed line is no difference.",
        win.against
    );
    let plots = vec![figure_1(run, win, "gold", &win.gold), figure_1(run, win, "labelers", &win.labelers)];
    let section = Section::of_plots("preferred", "Which model is preferred?", &how, plots)?;
    Some(section.found(found).found([noise(run, win)]))
}

/// The duels that the paper's claim rests on, and PPO against the largest SFT model.
fn pairs(run: &Run, win: &WinRate, judge: &str) -> Vec<Pair> {
    let half = |name: String, rate: &Rate| {
        Some(Pair { name, here: Measured::share(rate)?, other: None, there: Measured::exact(0.5) })
    };
    let duel = |(pair, by): (&String, &ByModel<Rate>)| half(pair.replace('>', " against "), by.get(judge)?);
    let rates = if judge == "gold" { &win.gold } else { &win.labelers };
    let large = win.against.trim_end_matches(".sft");
    let tuned = TUNED.map(|kind| format!("{large}.{kind}"));
    let names =
        tuned.into_iter().filter(|name| !run.results.head_to_head.contains_key(&format!("{name}>{}", win.against)));
    let against = names.filter_map(|name| half(format!("{name} against {}", win.against), rates.get(&name)?));
    run.results.head_to_head.iter().filter_map(duel).chain(against).collect()
}

/// Why labelers show less than gold: two who are right with probability p agree on p² + (1 − p)².
fn noise(run: &Run, win: &WinRate) -> Option<String> {
    let agreement = run.results.reward_model.as_ref()?.labeler_agreement?;
    let far = |rate: &Rate| (rate.rate - 0.5).abs();
    let tuned = |model: &str| TUNED.contains(&model.rsplit('.').next().unwrap_or_default());
    let most = win.gold.iter().filter(|(model, _)| tuned(model)).max_by(|a, b| far(a.1).total_cmp(&far(b.1)));
    let left = (2.0 * agreement - 1.0).max(0.0).sqrt();
    let example = most.and_then(|(model, gold)| {
        let expected = Measured::exact(0.5 + left * (gold.rate - 0.5)).percent();
        let (gold, labelers) = (Measured::share(gold)?.percent(), Measured::share(win.labelers.get(model)?)?.percent());
        Some(format!(" Gold's {gold} for {model} would be about {expected} by such labelers; theirs is {labelers}."))
    });
    Some(format!(
        "Why the labelers' bars lie nearer to 50 % than gold's: labelers mark with tastes of their own and with errors, and two \
         of them agree on {:.1} % of the comparisons that both order (in the paper 72.6 %). So each overrules gold on about \
         {:.0} % of them, most often where gold sees little difference.{}",
        100.0 * agreement,
        50.0 * (1.0 - left),
        example.unwrap_or_default()
    ))
}
