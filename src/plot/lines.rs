//! Curves against steps, KL or anything else.

use super::axis::Axis;
use super::{WIDTH, colour, legend, short, svg};

#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Index of the colour variable.
    pub colour: usize,
    pub dashed: bool,
}

#[derive(Clone, Debug)]
pub struct LinePlot {
    pub title: String,
    pub x: String,
    pub y: String,
    pub series: Vec<Series>,
}

const HEIGHT: f64 = 270.0;

/// Where the data goes: the rest is titles and ticks.
const LEFT: f64 = 60.0;
const RIGHT: f64 = WIDTH - 20.0;
const BOTTOM: f64 = HEIGHT - 42.0;

/// More points than this are averaged in groups: they could not be told apart.
const MOST_POINTS: usize = 100;

impl LinePlot {
    pub fn svg(&self) -> String {
        let series: Vec<Series> = self.series.iter().filter(|s| !s.points.is_empty()).map(Series::thinned).collect();
        let names: Vec<&str> = series.iter().map(|s| s.name.as_str()).collect();
        let dashed: Vec<bool> = series.iter().map(|s| s.dashed).collect();
        let colours: Vec<usize> = series.iter().map(|s| s.colour).collect();
        let (legend, top) = legend(&names, &dashed, &colours);
        let points = || series.iter().flat_map(|s| s.points.iter());
        let x = Axis::over(points().map(|p| p.0), LEFT, RIGHT, false);
        let y = Axis::over(points().map(|p| p.1), BOTTOM, top, true);
        let mut body = legend + &y.draw_y(LEFT, RIGHT, &self.y) + &x.draw_x(BOTTOM, BOTTOM + 4.0, &self.x);
        for s in &series {
            let path: Vec<String> =
                s.points.iter().map(|p| format!("{:.1},{:.1}", x.place(p.0), y.place(p.1))).collect();
            let dash = if s.dashed { " stroke-dasharray=\"5 3\"" } else { "" };
            let stroke = colour(s.colour);
            body += &format!("<polyline class=\"line\" stroke=\"{stroke}\"{dash} points=\"{}\"/>", path.join(" "));
            if let [only] = s.points[..] {
                let (cx, cy) = (x.place(only.0), y.place(only.1));
                body += &format!("<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"3\" fill=\"{stroke}\"/>");
            }
        }
        let ends = |s: &Series| {
            Some(format!("{} from {} to {}", s.name, short(s.points.first()?.1), short(s.points.last()?.1)))
        };
        svg(&self.title, &series.iter().filter_map(ends).collect::<Vec<_>>().join(", "), HEIGHT, &body)
    }
}

impl Series {
    pub fn new(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.into(), points, colour, dashed: false }
    }

    pub fn dashed(mut self) -> Series {
        self.dashed = true;
        self
    }

    /// Averages of neighbouring points, so that at most [`MOST_POINTS`] remain.
    fn thinned(&self) -> Series {
        let finite: Vec<_> = self.points.iter().copied().filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
        let group = finite.len().div_ceil(MOST_POINTS).max(1);
        let mean = |g: &[(f64, f64)]| {
            let n = g.len() as f64;
            (g.iter().map(|p| p.0).sum::<f64>() / n, g.iter().map(|p| p.1).sum::<f64>() / n)
        };
        Series { points: finite.chunks(group).map(mean).collect(), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_points_are_thinned_and_bad_ones_dropped() {
        let mut points: Vec<_> = (0..1000).map(|i| (i as f64, 2.0 * i as f64)).collect();
        points[3].1 = f64::NAN;
        let thin = Series::new("a", 0, points).thinned();
        assert!(thin.points.len() <= MOST_POINTS);
        assert!(thin.points.iter().all(|p| (p.1 - 2.0 * p.0).abs() < 1e-6));
    }

    #[test]
    fn a_plot_without_points_is_still_a_plot() {
        let plot = LinePlot { title: "a < b".into(), x: "x".into(), y: "y".into(), series: vec![] };
        assert!(plot.svg().contains("a &lt; b"));
        assert!(!plot.svg().contains("NaN"));
    }
}
