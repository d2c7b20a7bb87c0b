//! Bars, one below the other, each with its name at the left, the whisker of its interval, and its value at the right.

use super::axis::Axis;
use super::{LETTER, WIDTH, colour, escape, short, svg};

#[derive(Clone, Copy, Debug)]
pub struct Bar {
    pub value: f64,
    /// The ends of its interval, when it has one.
    pub interval: Option<(f64, f64)>,
}

/// A name, and its bar if there is one.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub colour: usize,
    pub bar: Option<Bar>,
    /// The first of a group: a gap stands before it.
    pub first: bool,
}

#[derive(Clone, Debug)]
pub struct BarPlot {
    pub title: String,
    /// What the axis measures, in this unit; `%` shows whole numbers.
    pub axis: String,
    pub unit: &'static str,
    pub rows: Vec<Row>,
    /// A dashed line across, such as chance at 50 %.
    pub mark: Option<f64>,
    pub ceiling: Option<f64>,
}

const TOP: f64 = 28.0;
const HIGH: f64 = 18.0;
const GAP: f64 = 8.0;
const RIGHT: f64 = WIDTH - 62.0;

impl BarPlot {
    pub fn svg(&self) -> String {
        let longest = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let left = 20.0 + LETTER * longest as f64;
        let gaps = self.rows.iter().skip(1).filter(|row| row.first).count();
        let bottom = TOP + HIGH * self.rows.len() as f64 + GAP * gaps as f64;
        let x = Axis::over(self.values(), left, RIGHT, false);
        let line = |value: f64, dash: &str| {
            let x = x.place(value.clamp(x.low, x.high));
            format!("<line class=\"axis\"{dash} x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>")
        };
        let mut body = x.draw_x(TOP, bottom, &self.axis);
        let mut y = TOP;
        for (i, row) in self.rows.iter().enumerate() {
            y += if row.first && i > 0 { GAP } else { 0.0 };
            body += &self.row(row, &x, y);
            y += HIGH;
        }
        body += &line(0.0, "");
        body += &self.mark.map_or(String::new(), |mark| line(mark, " stroke-dasharray=\"4 3\""));
        let told: Vec<String> = self.rows.iter().map(|row| format!("{} {}", row.name, self.told(row))).collect();
        svg(&self.title, &told.join(", "), bottom + 42.0, &body)
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        let ends = self.rows.iter().filter_map(|row| row.bar).flat_map(|b| {
            let (low, high) = b.interval.unwrap_or((b.value, b.value));
            [b.value, low, high]
        });
        ends.chain([0.0]).chain(self.ceiling).chain(self.mark)
    }

    /// A bar from zero to its value and its whisker, between the name and the number.
    fn row(&self, row: &Row, x: &Axis, y: f64) -> String {
        let (base, right) = (y + 13.0, WIDTH - 6.0);
        let mut out = format!(
            "<g><title>{0}: {1}</title><text x=\"8\" y=\"{base:.1}\">{0}</text>\
             <text class=\"soft\" x=\"{right}\" y=\"{base:.1}\" text-anchor=\"end\">{2}</text>",
            escape(&row.name),
            self.told(row),
            row.bar.map_or("–".into(), |bar| self.number(bar.value)),
        );
        if let Some(bar) = row.bar {
            let (zero, end) = (x.place(0.0), x.place(bar.value));
            let (from, width, top) = (zero.min(end), (zero - end).abs(), y + 2.0);
            let fill = colour(row.colour);
            out += &format!(
                "<rect x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"14\" rx=\"1.5\" fill=\"{fill}\"/>"
            );
            if let Some((low, high)) = bar.interval {
                let (low, high, middle) = (x.place(low), x.place(high), y + 9.0);
                let (a, b) = (middle - 4.0, middle + 4.0);
                out += &format!(
                    "<path class=\"whisker\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {a:.1}V{b:.1}M{high:.1} {a:.1}V{b:.1}\"/>"
                );
            }
        }
        out + "</g>"
    }

    fn number(&self, value: f64) -> String {
        if self.unit == "%" { format!("{value:.0} %") } else { short(value) }
    }

    /// "62 % (58 % to 66 %)"
    fn told(&self, row: &Row) -> String {
        let Some(bar) = row.bar else { return "not measured".into() };
        let ends = bar
            .interval
            .map_or(String::new(), |(low, high)| format!(" ({} to {})", self.number(low), self.number(high)));
        self.number(bar.value) + &ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bar_keeps_its_row_and_one_below_zero_its_number() {
        let row = |name: &str, bar| Row { name: name.into(), colour: 0, bar, first: false };
        let bar = |value| Some(Bar { value, interval: Some((value - 0.1, value + 0.1)) });
        let plot = BarPlot {
            title: "t".into(),
            axis: "y".into(),
            unit: "",
            rows: vec![row("S.a", bar(-0.5)), row("S.b", None), row("L.a", bar(0.2))],
            mark: Some(0.5),
            ceiling: Some(1.0),
        };
        let svg = plot.svg();
        assert_eq!((svg.matches("<rect").count(), svg.matches("whisker").count()), (2, 2));
        assert!(svg.contains("<title>t</title>") && svg.contains("S.b not measured"), "{svg}");
        assert!(svg.contains(">-0.50</text>") && svg.contains("S.a: -0.50 (-0.60 to -0.40)"), "{svg}");
    }
}
