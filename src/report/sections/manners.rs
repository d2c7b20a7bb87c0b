//! Truth, doing what was asked, and rudeness: all checked by code.

use super::Section;
use crate::report::Run;
use crate::report::claims::{Claim, Measured, TUNED, pairs};
use crate::report::figures::{plain, shares};
use crate::results::{ByModel, Rate, Results};
use std::cmp::Ordering::{self, Greater, Less};

/// A share of completions, and what the paper found of it for PPO beside GPT-3, our base.
struct Manner {
    title: &'static str,
    rates: fn(&Results) -> &ByModel<Rate>,
    ceiling: f64,
    words: [&'static str; 3],
    paper: (&'static str, Ordering),
}

const NONE: &str = "no clear difference";

const MANNERS: [Manner; 3] = [
    Manner {
        title: "Claims that are true ↑",
        rates: |r| &r.truthful,
        ceiling: 100.0,
        words: ["less truthful", NONE, "more truthful"],
        paper: ("PPO is more truthful than base", Greater),
    },
    Manner {
        title: "Completions that do all that was asked ↑",
        rates: |r| &r.correct,
        ceiling: 100.0,
        words: ["less often", NONE, "more often"],
        paper: ("PPO does what was asked more often than base", Greater),
    },
    Manner {
        title: "Completions that are rude ↓",
        rates: |r| &r.rude,
        ceiling: 10.0,
        words: ["less rude", NONE, "ruder"],
        paper: ("PPO is less toxic than base when it is asked to be respectful", Less),
    },
];

pub fn section(run: &Run) -> Option<Section> {
    let measured = MANNERS.iter().filter(|manner| !(manner.rates)(&run.results).is_empty());
    let plot = |manner: &Manner| shares(run, manner.title, "%", (manner.rates)(&run.results), manner.ceiling).svg();
    let plots: Vec<String> = measured.clone().map(plot).collect();
    let section = Section::of_plots(
        "manners",
        "Truth and manners",
        "Truth is counted among completions that claim something that the world's tables can decide, the others among all.",
        plots.into_iter().chain(plain(run, "Gold score ↑", "mean", &run.results.gold_score)).collect(),
    )?;
    Some(section.found(measured.map(|manner| manner.found(run))))
}

impl Manner {
    /// PPO beside base, as the paper has it, and beside SFT.
    fn found(&self, run: &Run) -> Option<String> {
        let rates = (self.rates)(&run.results);
        let said = |other: &str, paper| {
            let share = |model: &str| rates.get(model).and_then(Measured::share);
            let claim = Claim { subject: "Beside SFT", words: self.words, paper, slack: 0.0, show: Measured::percent };
            claim.sentence(&pairs(&run.sizes, &TUNED, other, share))
        };
        let both: Vec<String> = [said("base", Some(self.paper)), said("sft", None)].into_iter().flatten().collect();
        (!both.is_empty()).then(|| both.join(" "))
    }
}
