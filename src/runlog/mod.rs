//! What a run writes as it goes: `metrics.jsonl` (a line a step), `samples.jsonl`, TensorBoard events.

pub mod crc32c;
pub mod environment;
pub mod tfevents;

use crate::error::{Failure, Result};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use tfevents::EventWriter;

/// The log of one run folder.
pub struct RunLog {
    dir: PathBuf,
    metrics: File,
    events: EventWriter,
    /// The stage whose steps are being logged; its first step cuts what a killed run logged beyond its checkpoint.
    stage: Option<String>,
}

impl RunLog {
    pub fn open(dir: &Path) -> Result<RunLog> {
        let path = dir.join("metrics.jsonl");
        let _ = std::fs::remove_file(path.with_extension("jsonl.tmp")); // a kill's
        drop_torn_line(&path).map_err(|e| Failure::write(&path, e))?;
        let metrics = append(&path)?;
        let events = EventWriter::create(dir).map_err(|e| Failure::write(dir, e))?;
        Ok(RunLog { dir: dir.to_path_buf(), metrics, events, stage: None })
    }

    /// One step's figures under their names, as a line of JSON and as TensorBoard scalars `stage/name`.
    pub fn step(&mut self, stage: &str, step: usize, total: usize, figures: &[(&str, f64)]) -> Result {
        if self.stage.as_deref() != Some(stage) {
            self.forget_from(stage, step)?;
            self.stage = Some(stage.to_string());
        }
        let mut line = Map::new();
        line.insert("stage".into(), stage.into());
        line.insert("step".into(), step.into());
        line.insert("total".into(), total.into());
        line.extend(figures.iter().map(|&(name, value)| (name.to_string(), number(value))));
        let path = self.dir.join("metrics.jsonl");
        write_line(&mut self.metrics, &Value::Object(line)).map_err(|e| Failure::write(&path, e))?;
        let scalars: Vec<(String, f64)> = figures.iter().map(|(name, v)| (format!("{stage}/{name}"), *v)).collect();
        self.events.scalars(step, &scalars).and_then(|_| self.events.flush()).map_err(|e| Failure::write(&self.dir, e))
    }

    /// A prompt and the answers of the models to it.
    pub fn sample(&mut self, sample: &Value) -> Result {
        let path = self.dir.join("samples.jsonl");
        write_line(&mut append(&path)?, sample).map_err(|e| Failure::write(&path, e))
    }

    /// Drops lines of `stage` at `step` or later, so that a resumed run logs each step once. The others stay as they
    /// are, to the last digit.
    fn forget_from(&mut self, stage: &str, step: usize) -> Result {
        let path = self.dir.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).map_err(|e| Failure::write(&path, e))?;
        let stale = |line: &&str| {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            line["stage"] == stage && line["step"].as_u64().is_some_and(|s| s >= step as u64)
        };
        if text.lines().any(|line| stale(&line)) {
            let kept: String = text.lines().filter(|line| !stale(line)).map(|l| format!("{l}\n")).collect();
            let temporary = path.with_extension("jsonl.tmp");
            std::fs::write(&temporary, kept).map_err(|e| Failure::write(&temporary, e))?;
            std::fs::rename(&temporary, &path).map_err(|e| Failure::write(&path, e))?;
            self.metrics = append(&path)?;
        }
        Ok(())
    }
}

/// A line in one write: a kill leaves it whole or not there, and two writers do not mix.
fn write_line(file: &mut File, value: &Value) -> std::io::Result<()> {
    file.write_all(format!("{value}\n").as_bytes())
}

/// A kill may have cut the last line short: the next line must not be glued to it.
fn drop_torn_line(path: &Path) -> std::io::Result<()> {
    let Ok(text) = std::fs::read(path) else { return Ok(()) };
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    if whole < text.len() { OpenOptions::new().write(true).open(path)?.set_len(whole as u64) } else { Ok(()) }
}

/// JSON has no NaN and no infinity: they become null.
pub fn number(value: f64) -> Value {
    if value.is_finite() { json!(value) } else { Value::Null }
}

/// The lines of a JSONL file that we wrote; a last line cut short by a kill is left out.
pub fn read_lines(path: &Path) -> Result<Vec<Value>> {
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let lines = BufReader::new(file).lines();
    Ok(lines.map_while(|l| l.ok()).filter_map(|l| serde_json::from_str(&l).ok()).collect())
}

/// The samples of an earlier attempt are replaced as a whole.
pub fn clear_samples(dir: &Path) -> Result {
    let path = dir.join("samples.jsonl");
    File::create(&path).map(drop).map_err(|e| Failure::write(&path, e))
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|e| Failure::write(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_stage_logs_each_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(dir.path()).unwrap();
        for step in 1..=5 {
            log.step("a", step, 5, &[("loss", step as f64)]).unwrap();
        }
        for step in 1..=4 {
            log.step("b", step, 9, &[("loss", f64::NAN)]).unwrap();
        }
        drop(log);
        let mut log = RunLog::open(dir.path()).unwrap();
        log.step("b", 3, 9, &[("loss", 7.0)]).unwrap();
        let lines = read_lines(&dir.path().join("metrics.jsonl")).unwrap();
        let steps: Vec<_> = lines.iter().map(|l| (l["stage"].as_str().unwrap(), l["step"].as_u64().unwrap())).collect();
        assert_eq!(steps, [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("a", 5), ("b", 1), ("b", 2), ("b", 3)]);
        assert_eq!(lines[5]["loss"], Value::Null);
    }

    #[test]
    fn what_stays_in_the_log_keeps_its_digits() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = RunLog::open(dir.path()).unwrap();
        // numbers whose last digit a careless reader of JSON changes
        let hard = [0.1 + 0.2, 2.2250738585072011e-308, 5e-324, 1.0 / 3.0, 0.9249516069471266, 1234567890.1234567];
        for (i, x) in hard.iter().enumerate() {
            log.step("a", i + 1, 9, &[("loss", *x)]).unwrap();
        }
        let path = dir.path().join("metrics.jsonl");
        let before = std::fs::read_to_string(&path).unwrap();
        for (line, x) in before.lines().zip(hard) {
            let digits = line.split("\"loss\":").nth(1).unwrap().split([',', '}']).next().unwrap();
            assert_eq!(digits.parse::<f64>().unwrap().to_bits(), x.to_bits());
        }
        drop(log);
        let mut log = RunLog::open(dir.path()).unwrap();
        log.step("a", 6, 9, &[("loss", hard[5])]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    }
}
