//! How well the reward model predicts comparisons that it never saw.

use super::Section;
use crate::plot::{Bar, BarPlot, LinePlot, Row, Series};
use crate::report::Run;
use crate::report::claims::{Claim, Measured, Pair};
use crate::report::figures::share;
use crate::results::{Rate, RewardModel};

const CHANCE: Claim = Claim {
    subject: "The reward model beside chance, 50 %",
    words: ["worse", "not clearly better", "better"],
    paper: None,
    slack: 0.0,
    show: Measured::percent,
};

const LONGER: Claim = Claim { subject: "Beside “the longer completion wins”", ..CHANCE };

const UNSEEN: Claim = Claim {
    subject: "Labelers it never saw beside those it learnt from (in the paper 69.6 against 72.4 %)",
    words: ["worse", "no clear difference", "better"],
    ..CHANCE
};

pub fn section(run: &Run) -> Option<Section> {
    let rm = run.results.reward_model.as_ref()?;
    let ceiling = rm.labeler_agreement.map_or("The dashed line is chance.".into(), |a| {
        format!(
            "The dashed line is chance. Two labelers agree on {:.1} % of comparisons, so nothing can predict one of them much \
             better than that (the paper's labelers: 72.6 %).",
            100.0 * a
        )
    });
    let how = format!("Accuracy on {} pairs that were never trained on. {ceiling}", rm.pairs);
    let plots = vec![accuracy(rm)].into_iter().chain(training(run)).collect();
    let section = Section::of_plots("reward-model", "Does the reward model know what is preferred?", &how, plots)?;
    let beside = |there: &dyn Fn(&str) -> Option<f64>| -> Vec<Pair> {
        let pair = |(set, rate): (&String, &Rate)| {
            let (here, there): (_, f64) = (Measured::share(rate)?, there(set)?);
            let longer = (there != 0.5).then(|| "the rule's".to_string());
            Some(Pair { name: name(set), here, other: longer, there: Measured::exact(there) })
        };
        rm.accuracy.iter().filter_map(pair).collect()
    };
    let unseen = || {
        let [here, there] = ["unseen_labelers", "heldout"].map(|set| rm.accuracy.get(set).and_then(Measured::share));
        let other = Some("known labelers".to_string());
        Some(vec![Pair { name: "unseen labelers".into(), here: here?, other, there: there? }])
    };
    Some(section.found([
        CHANCE.sentence(&beside(&|_| Some(0.5))),
        LONGER.sentence(&beside(&|set| rm.longer_wins.get(set).copied())),
        UNSEEN.sentence(&unseen().unwrap_or_default()),
    ]))
}

/// "held out", "unseen labelers", "gold", or a file's name
fn name(set: &str) -> String {
    if set == "heldout" { "held out".into() } else { set.replace('_', " ") }
}

fn accuracy(rm: &RewardModel) -> String {
    let rows = |(set, rate): (&String, &Rate)| {
        let longer = rm.longer_wins.get(set).map(|&share| Bar { value: 100.0 * share, interval: None });
        let own = Row { name: name(set), colour: 4, bar: share(rate), first: true };
        [Some(own), longer.map(|bar| Row { name: "longer wins".into(), colour: 0, bar: Some(bar), first: false })]
    };
    BarPlot {
        title: "Comparisons that the reward model predicts ↑".into(),
        axis: "% of pairs".into(),
        unit: "%",
        rows: rm.accuracy.iter().flat_map(rows).flatten().collect(),
        mark: Some(50.0),
        ceiling: Some(100.0),
    }
    .svg()
}

fn training(run: &Run) -> Option<String> {
    let series: Vec<Series> = [("loss", "training loss", 2), ("accuracy", "training accuracy", 4)]
        .iter()
        .map(|(key, name, c)| Series::new(name, *c, run.curve("rm", key)))
        .filter(|s| !s.points.is_empty())
        .collect();
    let plot = LinePlot { title: "Reward model during training".into(), x: "step".into(), y: "".into(), series };
    (!plot.series.is_empty()).then(|| plot.svg())
}
