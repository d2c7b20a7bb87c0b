//! Bars in groups, each with the whisker of its interval.

use super::axis::Axis;
use super::{BOTTOM, LEFT, RIGHT, WIDTH, colour, escape, legend, svg};

#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub value: f64,
    /// The ends of its interval, when it has one.
    pub interval: Option<(f64, f64)>,
}

impl Bar {
    pub fn new(value: f64) -> Bar {
        Bar { value, interval: None }
    }
}

#[derive(Clone, Debug)]
pub struct BarPlot {
    pub title: String,
    pub y: String,
    pub groups: Vec<String>,
    /// (name, colour, one bar a group)
    pub series: Vec<(String, usize, Vec<Option<Bar>>)>,
    /// A dashed line across, such as chance at one half.
    pub mark: Option<f64>,
    /// The axis begins here unless the data go lower.
    pub floor: f64,
    pub ceiling: Option<f64>,
}

impl BarPlot {
    pub fn svg(&self) -> String {
        let names: Vec<&str> = self.series.iter().map(|s| s.0.as_str()).collect();
        let colours: Vec<usize> = self.series.iter().map(|s| s.1).collect();
        let (legend, top) = legend(&names, &vec![false; names.len()], &colours);
        let y = Axis::over(self.values(), BOTTOM, top + 12.0, true);
        let mut body = legend + &y.draw_y(top, &self.y);
        let group = (RIGHT - LEFT) / self.groups.len().max(1) as f64;
        let width = (group * 0.84 / self.series.len().max(1) as f64).min(64.0);
        for (g, name) in self.groups.iter().enumerate() {
            let middle = LEFT + group * (g as f64 + 0.5);
            let left = middle - width * self.series.len() as f64 / 2.0;
            for (i, (_, c, bars)) in self.series.iter().enumerate() {
                if let Some(bar) = bars.get(g).copied().flatten() {
                    body += &draw(&y, bar, left + width * i as f64, width, *c);
                }
            }
            let below = BOTTOM + 18.0;
            body += &format!("<text x=\"{middle:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", escape(name));
        }
        let zero = y.place(self.floor.max(y.low));
        body += &format!("<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{zero:.1}\" y2=\"{zero:.1}\"/>");
        if let Some(mark) = self.mark {
            let y = y.place(mark);
            body += &format!(
                "<line class=\"axis\" stroke-dasharray=\"4 3\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
        }
        debug_assert!(width < WIDTH);
        svg(&self.title, &body)
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let bars = self.series.iter().flat_map(|s| s.2.iter().flatten());
        let ends = bars.flat_map(|b| {
            let (low, high) = b.interval.unwrap_or((b.value, b.value));
            [b.value, low, high]
        });
        ends.chain([self.floor]).chain(self.ceiling).chain(self.mark)
    }
}

/// One bar, its whisker, and its value above.
fn draw(y: &Axis, bar: Bar, x: f64, width: f64, c: usize) -> String {
    let base = y.place(0f64.clamp(y.low, y.high));
    let end = y.place(bar.value);
    let (top, height) = (base.min(end), (base - end).abs());
    let inner = width - 3.0;
    let mut out = format!(
        "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{inner:.1}\" height=\"{height:.1}\" rx=\"1.5\" fill=\"{}\"/>",
        colour(c)
    );
    let middle = x + inner / 2.0;
    let mut label_y = top - 4.0;
    if let Some((low, high)) = bar.interval {
        let (low, high) = (y.place(low), y.place(high));
        let (a, b) = (middle - 4.0, middle + 4.0);
        out += &format!(
            "<path class=\"whisker\" d=\"M{middle:.1} {low:.1}V{high:.1}M{a:.1} {low:.1}H{b:.1}M{a:.1} {high:.1}H{b:.1}\"/>"
        );
        label_y = label_y.min(high - 4.0);
    }
    if width >= 24.0 {
        let text = short(bar.value);
        out +=
            &format!("<text class=\"soft\" x=\"{middle:.1}\" y=\"{label_y:.1}\" text-anchor=\"middle\">{text}</text>");
    }
    out
}

/// Two decimals, fewer for larger figures.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bars_leave_a_gap() {
        let some = |v| Some(Bar { value: v, interval: Some((v - 0.1, v + 0.1)) });
        let plot = BarPlot {
            title: "t".into(),
            y: "y".into(),
            groups: vec!["S".into(), "L".into()],
            series: vec![("a".into(), 0, vec![some(0.5), None]), ("b".into(), 1, vec![some(0.2)])],
            mark: Some(0.5),
            floor: 0.0,
            ceiling: Some(1.0),
        };
        let svg = plot.svg();
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!(svg.matches("whisker").count(), 2);
    }
}
