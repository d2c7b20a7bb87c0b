//! The loss on demonstrations that were held out.

use super::Section;
use crate::report::Run;
use crate::report::claims::{Claim, Measured, pairs};
use crate::report::figures::plain;

const LEARNT: Claim = Claim {
    subject: "Beside base, in nats a token",
    words: ["lower", "the same", "higher"],
    paper: None,
    slack: 0.01,
    show: Measured::number,
};

pub fn section(run: &Run) -> Option<Section> {
    let losses = &run.results.loss_on_demonstrations;
    let loss = |model: &str| losses.get(model).copied().map(Measured::exact);
    let section = Section::of_plots(
        "demonstrations",
        "Does SFT learn what was shown?",
        "The loss on completions of held-out demonstrations. SFT should lower it; PPO, which is after something else, may raise \
         it again.",
        plain(run, "Loss on held-out completions ↓", "nats a token", losses).into_iter().collect(),
    )?;
    Some(section.found([LEARNT.sentence(&pairs(&run.sizes, &["sft", "ppo", "ppo_ptx"], "base", loss))]))
}
