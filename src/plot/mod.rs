//! Plots as SVG text: lines and bars with axes, whiskers and legends, readable on light and dark pages.
//! Colours are CSS variables that the page (or a standalone file's own style) defines.

mod axis;
mod bars;
mod lines;

pub use bars::{Bar, BarPlot, Row};
pub use lines::{LinePlot, Series};

/// The page's half of the bargain: `--ink`, `--grid` and `--c0` to `--c6`, for light and dark.
/// The seven hues differ in lightness too, so that they survive colour blindness and printing.
pub const STYLE: &str = "
:root { --ink: #24292f; --soft: #6e7781; --grid: #d8dee4; --paper: #ffffff; --c0: #8c959f; --c1: #b58900; --c2: #2f6fb5; --c3: #c4432b; --c4: #1a7f4b; --c5: #7b4fa3; --c6: #0b7c86; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6edf3; --soft: #9aa4af; --grid: #30363d; --paper: #0d1117; --c0: #9aa4af; --c1: #e3b341; --c2: #6cb0f5; --c3: #ff8f73; --c4: #56d18b; --c5: #c9a0f0; --c6: #4fd1d9; }
}
svg.plot { font: 13px system-ui, sans-serif; }
svg.plot text { fill: var(--ink); }
svg.plot .soft { fill: var(--soft); }
svg.plot .title { font-weight: 600; font-size: 14px; }
svg.plot .axis { stroke: var(--soft); fill: none; }
svg.plot .grid { stroke: var(--grid); fill: none; }
svg.plot .whisker { stroke: var(--ink); stroke-width: 1.3; fill: none; }
svg.plot .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
";

/// As wide as a telephone, so that the text stays readable on one; larger screens put plots beside each other.
const WIDTH: f64 = 400.0;
/// Of a letter, about.
const LETTER: f64 = 7.0;

fn colour(index: usize) -> String {
    format!("var(--c{})", index % 7)
}

/// Wraps the parts of a plot. `told`: what it shows, for who cannot see it.
fn svg(title: &str, told: &str, height: f64, body: &str) -> String {
    let (title, told) = (escape(title), escape(told));
    format!(
        "<svg class=\"plot\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"{title}: {told}\"><title>{title}</title><desc>{told}</desc>\
         <text class=\"title\" x=\"8\" y=\"17\">{title}</text>{body}</svg>"
    )
}

/// A plot as a file of its own: carries its style and paints its paper.
pub fn standalone(svg: &str) -> String {
    let head = svg.find('>').map_or(0, |i| i + 1);
    let paper = "<rect width=\"100%\" height=\"100%\" fill=\"var(--paper)\"/>";
    format!("{}<style>{STYLE}</style>{paper}{}\n", &svg[..head], &svg[head..])
}

/// Coloured squares and names in rows; returns the text and the y where the plot may begin.
fn legend(names: &[&str], dashed: &[bool], colours: &[usize]) -> (String, f64) {
    let (mut out, mut x, mut y) = (String::new(), 12.0, 36.0);
    if names.len() < 2 {
        return (out, 30.0);
    }
    for ((name, &dash), &c) in names.iter().zip(dashed).zip(colours) {
        let width = 30.0 + LETTER * name.chars().count() as f64;
        if x > 12.0 && x + width > WIDTH {
            (x, y) = (12.0, y + 17.0);
        }
        let dash = if dash { " stroke-dasharray=\"3 2\"" } else { "" };
        out += &format!(
            "<line x1=\"{x:.0}\" x2=\"{:.0}\" y1=\"{1:.0}\" y2=\"{1:.0}\" stroke=\"{2}\" stroke-width=\"6\"{dash}/>",
            x + 14.0,
            y - 4.0,
            colour(c)
        );
        out += &format!("<text x=\"{:.0}\" y=\"{y:.0}\">{}</text>", x + 19.0, escape(name));
        x += width;
    }
    (out, y + 16.0)
}

/// Text inside markup.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Two decimals, fewer for larger figures.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v < 0.005 => "0.00".into(),
        _ => format!("{value:.2}"),
    }
}
