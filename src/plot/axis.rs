//! One axis: its range, its round ticks, and where a value lies on the page.

use super::escape;

pub struct Axis {
    pub low: f64,
    pub high: f64,
    /// Page coordinates of `low` and `high`.
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// An axis over `values` from page coordinate `from` to `to`, widened to round ticks.
    pub fn over(values: impl Iterator<Item = f64>, from: f64, to: f64, widen: bool) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in values.filter(|v| v.is_finite()) {
            (low, high) = (low.min(v), high.max(v));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low < 1e-9 * high.abs().max(1e-9) {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let step = round_step((high - low) / 5.0);
        if widen {
            (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        }
        Axis { low, high, from, to, step }
    }

    pub fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step - 1e-9).ceil() as i64;
        let last = (self.high / self.step + 1e-9).floor() as i64;
        (first..=last).map(|i| i as f64 * self.step).collect()
    }

    fn label(&self, tick: f64) -> String {
        let decimals = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        if self.step >= 1000.0 { format!("{}k", tick / 1000.0) } else { format!("{tick:.decimals$}") }
    }

    /// Horizontal grid lines from `left` to `right` with their values at the left, and the name of the axis.
    pub fn draw_y(&self, left: f64, right: f64, name: &str) -> String {
        let mut out = String::new();
        for tick in self.ticks() {
            let y = self.place(tick);
            out += &format!("<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
            let (x, y, label) = (left - 6.0, y + 4.0, self.label(tick));
            out += &format!("<text class=\"soft\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>");
        }
        let middle = (self.from + self.to) / 2.0;
        let turn = format!("transform=\"rotate(-90 14 {middle:.0})\"");
        out + &format!("<text x=\"14\" y=\"{middle:.0}\" {turn} text-anchor=\"middle\">{}</text>", escape(name))
    }

    /// Vertical grid lines from `top` to `bottom` with their values below, and the name of the axis.
    pub fn draw_x(&self, top: f64, bottom: f64, name: &str) -> String {
        let mut out = String::new();
        for tick in self.ticks() {
            let (x, below, label) = (self.place(tick), bottom + 16.0, self.label(tick));
            out += &format!("<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>");
            out += &format!("<text class=\"soft\" x=\"{x:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{label}</text>");
        }
        let (x, y) = ((self.from + self.to) / 2.0, bottom + 33.0);
        out + &format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", escape(name))
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not less than `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= raw * (1.0 - 1e-9));
    power * factor.unwrap_or(10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = Axis::over([0.13, 0.97].into_iter(), 0.0, 100.0, true);
        assert_eq!((axis.low, axis.high), (0.0, 1.0));
        assert_eq!(
            axis.ticks().iter().map(|t| axis.label(*t)).collect::<Vec<_>>(),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(axis.place(0.5), 50.0);
    }

    #[test]
    fn nothing_and_a_single_value_still_have_an_axis() {
        assert_eq!(Axis::over(std::iter::empty(), 0.0, 1.0, true).ticks().len(), 6);
        let axis = Axis::over([3.0].into_iter(), 0.0, 1.0, true);
        assert!(axis.low < 3.0 && axis.high > 3.0);
        assert!(Axis::over([f64::NAN, 1.0, 2.0].into_iter(), 0.0, 1.0, true).high == 2.0);
    }
}
