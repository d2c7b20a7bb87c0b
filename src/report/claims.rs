//! What came out, in a sentence: what the paper found, and on which side of it each measured pair lies.

use crate::plot::{escape, short};
use crate::results::Rate;
use std::cmp::Ordering::{self, Equal, Greater, Less};

/// An estimate with the ends of its 95 % interval; a figure that has none is as narrow as a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Measured {
    pub fn exact(value: f64) -> Measured {
        Measured { value, low: value, high: value }
    }

    /// None where nothing was counted.
    pub fn share(rate: &Rate) -> Option<Measured> {
        let counted = rate.low > 0.0 || rate.high < 1.0;
        counted.then_some(Measured { value: rate.rate, low: rate.low, high: rate.high })
    }

    /// The mean of a sample, with the normal interval.
    pub fn mean(values: &[f64]) -> Measured {
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - value).powi(2)).sum::<f64>() / (n - 1.0);
        let half = 1.96 * (variance / n).sqrt();
        Measured { value, low: value - half, high: value + half }
    }

    /// On which side of the other it lies, if the interval of the difference says so (Newcombe 1998, method 10), by more
    /// than `slack`.
    pub fn beside(&self, other: &Measured, slack: f64) -> Ordering {
        let difference = self.value - other.value;
        let low = difference - (self.value - self.low).hypot(other.high - other.value);
        let high = difference + (self.high - self.value).hypot(other.value - other.low);
        match (low > slack, high < -slack) {
            (true, _) => Greater,
            (_, true) => Less,
            _ => Equal,
        }
    }

    /// "62 % (58–66)"
    pub fn percent(&self) -> String {
        let [value, low, high] = [self.value, self.low, self.high].map(|share| format!("{:.0}", 100.0 * share));
        if low == high { format!("{value} %") } else { format!("{value} % ({low}–{high})") }
    }

    /// "1.04", "1.04 ± 0.20"
    pub fn number(&self) -> String {
        let half = (self.high - self.low) / 2.0;
        if half > 0.0 { format!("{} ± {}", short(self.value), short(half)) } else { short(self.value) }
    }
}

/// A comparison to be made, and how its outcomes are said.
pub struct Claim {
    /// What is compared, where the paper says nothing of it.
    pub subject: &'static str,
    /// What the first is beside the second: less, the same, more.
    pub words: [&'static str; 3],
    /// What the paper found, and on which side the first was.
    pub paper: Option<(&'static str, Ordering)>,
    /// Differences up to this are none.
    pub slack: f64,
    pub show: fn(&Measured) -> String,
}

/// Two figures to compare. `other`: whose the second is, if it is not a constant.
pub struct Pair {
    pub name: String,
    pub here: Measured,
    pub other: Option<String>,
    pub there: Measured,
}

impl Claim {
    /// "As in the paper, …", "In the paper …; here …", or without the paper "A against B: …". None without pairs.
    pub fn sentence(&self, pairs: &[Pair]) -> Option<String> {
        let items = |side: Ordering| {
            let here: Vec<&Pair> = pairs.iter().filter(|p| p.here.beside(&p.there, self.slack) == side).collect();
            let groups = here.chunk_by(|a, b| (&a.other, a.there) == (&b.other, b.there));
            groups.map(|group| self.items(group)).collect::<Vec<_>>().join(", ")
        };
        let expected = self.paper.map(|(_, side)| side);
        let mut sides = vec![Greater, Equal, Less];
        sides.sort_by_key(|side| Some(*side) != expected);
        let groups = sides.into_iter().map(|side| (side, items(side))).filter(|(_, items)| !items.is_empty());
        let groups: Vec<(Ordering, String)> = groups.collect();
        let word = |side: Ordering| match Some(side) == expected {
            true => "too",
            false => self.words[(side as i8 + 1) as usize],
        };
        let all: Vec<String> = groups.iter().map(|(side, items)| format!("<b>{}</b>: {items}", word(*side))).collect();
        Some(match (self.paper, &groups[..]) {
            (_, []) => return None,
            (Some((found, side)), [(only, items)]) if *only == side => {
                format!("<b>As in the paper</b>, {found}: {items}.")
            }
            (Some((found, _)), _) => format!("In the paper {found}; here {}.", all.join("; ")),
            (None, _) => format!("{}: {}.", self.subject, all.join("; ")),
        })
    }

    /// Those with the same beside them.
    fn items(&self, group: &[&Pair]) -> String {
        let here = group.iter().map(|pair| format!("{} {}", escape(&pair.name), (self.show)(&pair.here)));
        match (&group[0].other, here.collect::<Vec<_>>()) {
            (None, here) => here.join(", "),
            (Some(other), here) => {
                format!("{} against {} {}", here.join(" and "), escape(other), (self.show)(&group[0].there))
            }
        }
    }
}

/// What the paper and the claims call PPO.
pub const TUNED: [&str; 2] = ["ppo", "ppo_ptx"];

/// In every size, these kinds against that one, where both have the figure.
pub fn pairs(sizes: &[String], kinds: &[&str], other: &str, figure: impl Fn(&str) -> Option<Measured>) -> Vec<Pair> {
    let pair = |size: &String, kind: &&str| {
        let [name, other] = [*kind, other].map(|kind| format!("{size}.{kind}"));
        Some(Pair { here: figure(&name)?, there: figure(&other)?, name, other: Some(other) })
    };
    sizes.iter().flat_map(|size| kinds.iter().filter_map(move |kind| pair(size, kind))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUTH: Claim = Claim {
        subject: "PPO against SFT",
        words: ["less", "no clear difference", "more"],
        paper: Some(("PPO is more truthful than SFT", Greater)),
        slack: 0.0,
        show: Measured::percent,
    };

    fn pair(name: &str, here: f64, there: f64) -> Pair {
        let share = |value| Measured { value, low: value - 0.04, high: value + 0.04 };
        Pair { name: name.into(), here: share(here), other: Some("S.sft".into()), there: share(there) }
    }

    #[test]
    fn each_direction_has_its_sentence() {
        let [up, none, down] = [(0.75, 0.63), (0.65, 0.63), (0.63, 0.75)].map(|(a, b)| pair("S.ppo", a, b));
        let said = |pairs: &[Pair]| TRUTH.sentence(pairs);
        assert_eq!(
            said(&[up]).unwrap(),
            "<b>As in the paper</b>, PPO is more truthful than SFT: S.ppo 75 % (71–79) against S.sft 63 % (59–67)."
        );
        let here = said(&[none]).unwrap();
        assert!(
            here.starts_with("In the paper PPO is more truthful than SFT; here <b>no clear difference</b>: "),
            "{here}"
        );
        let here = said(&[down]).unwrap();
        assert!(here.contains("; here <b>less</b>: S.ppo 63 % (59–67) against S.sft 75 % (71–79)."), "{here}");
        assert_eq!(said(&[]), None);
    }

    #[test]
    fn outcomes_that_differ_stand_beside_each_other() {
        let pairs = [pair("S.ppo", 0.5, 0.7), pair("L.ppo", 0.9, 0.7), pair("L.ppo_ptx", 0.7, 0.7)];
        let here = TRUTH.sentence(&pairs).unwrap();
        let at = |word: &str| here.find(word).unwrap_or_else(|| panic!("{here}"));
        assert!(
            at("too</b>: L.ppo 90") < at("difference</b>: L.ppo_ptx") && at("L.ppo_ptx") < at("less</b>: S.ppo 50")
        );
        let plain = Claim { paper: None, ..TRUTH }.sentence(&pairs).unwrap();
        assert!(plain.starts_with("PPO against SFT: <b>more</b>: L.ppo 90") && !plain.contains("paper"), "{plain}");
    }

    #[test]
    fn the_interval_of_the_difference_decides() {
        let share = |hits: f64, n| {
            let i = rlhf_core::stats::Interval::wilson(hits, n);
            Measured::share(&Rate { rate: i.rate, low: i.low, high: i.high, n }).unwrap()
        };
        // Newcombe's own example: 56/70 and 48/80 differ by 0.0524 to 0.3339
        assert_eq!(share(56.0, 70).beside(&share(48.0, 80), 0.052), Greater);
        assert_eq!(share(56.0, 70).beside(&share(48.0, 80), 0.053), Equal);
        assert_eq!(share(48.0, 80).beside(&share(56.0, 70), 0.0), Less);
        assert_eq!(Measured::exact(1.03).beside(&Measured::exact(1.038), 0.01), Equal);
        assert_eq!(Measured::share(&Rate { rate: 0.0, low: 0.0, high: 1.0, n: 0 }), None);
        assert_eq!(Measured::mean(&[1.0, 2.0, 3.0]).number(), "2.00 ± 1.13");
    }
}
