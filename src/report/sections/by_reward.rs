//! Where nobody can judge: what the reward model itself prefers.

use super::Section;
use crate::plot::BarPlot;
use crate::report::Run;
use crate::report::claims::{Claim, Measured, Pair, TUNED};
use crate::report::figures::shares;

const OWN_JUDGE: Claim = Claim {
    subject: "By the reward model PPO",
    words: ["loses", "no clear difference", "wins"],
    paper: None,
    slack: 0.0,
    show: Measured::percent,
};

pub fn section(run: &Run) -> Option<Section> {
    let (rates, against) = (&run.results.preferred_by_reward_model, &run.results.preferred_against);
    if rates.is_empty() {
        return None;
    }
    let tuned = rates.iter().filter(|(model, _)| TUNED.contains(&model.rsplit('.').next().unwrap_or_default()));
    let pair = |(model, rate)| {
        let name = format!("{model} against {against}");
        Some(Pair { name, here: Measured::share(rate)?, other: None, there: Measured::exact(0.5) })
    };
    let pairs: Vec<Pair> = tuned.filter_map(pair).collect();
    let title = format!("Preferred to {against} by the reward model ↑");
    let plot = BarPlot { mark: Some(50.0), ..shares(run, &title, "% of prompts", rates, 100.0) };
    let section = Section::of_plots(
        "preferred",
        "Does PPO raise the score it is trained on?",
        "The share of held-out prompts on which the reward model scores a completion above that of SFT, or of PPO's start. This \
         judge is the one that PPO optimises: a high bar shows that the optimisation works, not that people would agree.",
        vec![plot.svg()],
    )?;
    Some(section.found([OWN_JUDGE.sentence(&pairs)]))
}
