//! How long one thread has computed, which neither other programs nor other threads lengthen.
use std::fs::{canonicalize, read_to_string};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Of the thread that made it; any may read it.
#[derive(Clone)]
pub struct Clock {
    /// What Linux tells of the thread.
    stat: PathBuf,
    made: Instant,
}

impl Clock {
    pub fn new() -> Clock {
        Clock { stat: canonicalize("/proc/thread-self/stat").unwrap_or_default(), made: Instant::now() }
    }

    /// In hundredths of a second; where nobody tells, the time that went by.
    pub fn computed(&self) -> Duration {
        let stat = read_to_string(&self.stat).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let computed = ticks(11).zip(ticks(12)).map(|(user, system)| Duration::from_millis(10 * (user + system)));
        computed.unwrap_or_else(|| self.made.elapsed())
    }
}
