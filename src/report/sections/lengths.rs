//! How long completions are, whether they end, and how far the policy went for its score.

use super::Section;
use crate::report::Run;
use crate::report::claims::{Claim, Measured, TUNED, pairs};
use crate::report::figures::plain;

const LENGTH: Claim = Claim {
    subject: "PPO's completions beside SFT's, in tokens",
    words: ["shorter", "within one token", "longer"],
    paper: None,
    slack: 1.0,
    show: Measured::number,
};

pub fn section(run: &Run) -> Option<Section> {
    let r = &run.results;
    let plots = [
        plain(run, "Length of a completion", "tokens", &r.answer_tokens),
        plain(run, "Completions that end by themselves ↑", "share", &r.ended),
        plain(run, "KL from PPO's start", "nats a completion", &r.kl_to_reference),
        plain(run, "Score by the reward model ↑", "mean", &r.proxy_reward),
    ];
    let tokens = |model: &str| r.answer_tokens.get(model).copied().map(Measured::exact);
    let section = Section::of_plots(
        "lengths",
        "Length, ending and distance",
        "A win rate that comes with longer completions deserves suspicion: look at both. KL is measured on the model's own \
         completions of held-out prompts.",
        plots.into_iter().flatten().collect(),
    )?;
    Some(section.found([LENGTH.sentence(&pairs(&run.sizes, &TUNED, "sft", tokens))]))
}
