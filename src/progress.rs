//! Progress on stderr: a bar with rate and time left on a terminal, plain lines otherwise, none with `-q`.

use crate::terminal::{self, to_stderr};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a terminal's bar is redrawn, and how often a plain line is printed.
const REDRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(10);
/// Columns of the bar.
const BAR: usize = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing at all.
    Quiet,
    /// A line at the start and the end of a task, and every ten seconds between.
    Plain,
    /// One line that is drawn over.
    Bar { colour: bool },
}

impl Mode {
    pub fn of_stderr(quiet: bool) -> Mode {
        match quiet {
            true => Mode::Quiet,
            false if std::io::stderr().is_terminal() => Mode::Bar { colour: use_colour() },
            false => Mode::Plain,
        }
    }
}

/// Colour unless <https://no-color.org> asks for none.
pub fn use_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// The progress of one task at a time.
pub struct Progress {
    mode: Mode,
    task: String,
    start: Instant,
    /// The step at which this process took the task up: not 0 after a resume.
    first: usize,
    shown: Option<Instant>,
    line_open: bool,
}

impl Progress {
    pub fn new(mode: Mode) -> Progress {
        Progress { mode, task: String::new(), start: Instant::now(), first: 0, shown: None, line_open: false }
    }

    /// Starts a task, say "L.sft".
    pub fn begin(&mut self, task: &str) {
        self.close();
        self.task = task.to_string();
        self.start = Instant::now();
        self.shown = None;
        self.first = usize::MAX;
    }

    /// Step `done` of `total` has ended, with a short word about it ("loss 2.31").
    pub fn step(&mut self, done: usize, total: usize, note: &str) {
        if self.first == usize::MAX {
            self.first = done.saturating_sub(1);
        }
        let pause = if matches!(self.mode, Mode::Plain) { LINE } else { REDRAW };
        let now = Instant::now();
        if self.mode == Mode::Quiet || self.shown.is_some_and(|t| now - t < pause) && done < total {
            return;
        }
        self.shown = Some(now);
        let rate = (done - self.first) as f64 / self.start.elapsed().as_secs_f64().max(1e-9);
        let left = clock(total.saturating_sub(done) as f64 / rate.max(1e-9));
        let task = &self.task;
        match self.mode {
            Mode::Plain => eprintln!("{task}  {done}/{total}  {}  {left} left  {note}", per_second(rate)),
            Mode::Bar { colour } => {
                let figures = [format!("{done}/{total}"), per_second(rate), format!("{left} left")];
                let figures: Vec<&str> = figures.iter().map(String::as_str).chain(note.split("  ")).collect();
                let line = line(&to_stderr(task), (done, total, colour), &figures, terminal::columns() - 1);
                eprint!("\r\x1b[2K{line}");
                let _ = std::io::stderr().flush();
                self.line_open = true;
            }
            Mode::Quiet => {}
        }
    }

    /// A line that stays ("L.sft done in 41 s, loss 1.92").
    pub fn say(&mut self, line: &str) {
        if self.mode == Mode::Quiet {
            return;
        }
        if self.line_open {
            eprint!("\r\x1b[2K");
            self.line_open = false;
        }
        eprintln!("{}", to_stderr(line));
    }

    fn close(&mut self) {
        if self.line_open {
            eprintln!();
            self.line_open = false;
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

/// What is drawn over must not be wider than the terminal, or what is left of it stays: figures are left out from the
/// right, then the bar, then the line is cut.
fn line(task: &str, (done, total, colour): (usize, usize, bool), figures: &[&str], columns: usize) -> String {
    let pad = " ".repeat(12_usize.saturating_sub(terminal::width(task)));
    let fixed = terminal::width(task) + pad.len() + 2 + BAR;
    for kept in (1..=figures.len()).rev() {
        let figures = figures[..kept].join("  ");
        if fixed + terminal::width(&figures) <= columns {
            return format!("{task}{pad} {} {figures}", bar(done, total, colour));
        }
    }
    terminal::fit(&format!("{task}{pad} {done}/{total}"), columns).to_string()
}

fn bar(done: usize, total: usize, colour: bool) -> String {
    let full = BAR * done.min(total) / total.max(1);
    let (head, tail) = ("━".repeat(full), "─".repeat(BAR - full));
    if colour { format!("\x1b[32m{head}\x1b[90m{tail}\x1b[0m") } else { format!("{head}{tail}") }
}

/// "12.3/s", or "4.1 s each" when one step takes longer than a second.
fn per_second(rate: f64) -> String {
    if rate >= 1.0 { format!("{rate:.1}/s") } else { format!("{:.1} s each", 1.0 / rate.max(1e-9)) }
}

/// "8 s", "3 min 20 s", "2 h 05 min".
pub fn clock(seconds: f64) -> String {
    let s = seconds.round().clamp(0.0, 1e9) as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3600, s / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_read_by_people() {
        assert_eq!(clock(7.6), "8 s");
        assert_eq!(clock(200.0), "3 min 20 s");
        assert_eq!(clock(7500.0), "2 h 05 min");
    }

    #[test]
    fn bar_fills() {
        assert_eq!(bar(0, 10, false), "─".repeat(24));
        assert_eq!(bar(10, 10, false), "━".repeat(24));
        assert_eq!(bar(99, 10, false).chars().count(), 24);
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal() {
        let figures = ["3/20", "1.2/s", "14 s left", "loss 2.310", "learning_rate 1.0e-3"];
        for task in ["L.sft", "模型.sft", "a size with a name that is very long"] {
            for columns in 1..120 {
                let line = line(task, (3, 20, false), &figures, columns);
                assert!(terminal::width(&line) <= columns, "{columns}: {line}");
            }
        }
        let at = |columns| line("L.sft", (3, 20, false), &figures, columns);
        assert!(at(119).ends_with("learning_rate 1.0e-3") && at(70).ends_with("14 s left"), "from the right");
        assert!(at(42).contains('━') && at(41) == "L.sft        3/20", "then the bar");
        assert_eq!(at(8), "L.sft   ");
    }
}
