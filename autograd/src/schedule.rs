//! How the learning rate moves over a run.

/// The learning rate over a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// Straight up for `warmup` steps, then level. InstructGPT's PPO: warmup 10, so from 1/10 of the peak.
    Constant {
        /// Steps.
        warmup: usize,
    },
    /// Straight up for `warmup` steps, then half a cosine down to `floor` · peak at the last step.
    /// InstructGPT's SFT and reward model: warmup 0, floor 0.1.
    Cosine {
        /// Steps.
        warmup: usize,
        /// Where it ends, as a share of the peak.
        floor: f32,
    },
}

impl Schedule {
    /// The learning rate of step `step`, counted from 0, of `total`.
    pub fn lr_at(&self, peak: f32, step: usize, total: usize) -> f32 {
        let (Schedule::Constant { warmup } | Schedule::Cosine { warmup, .. }) = *self;
        let factor = match *self {
            _ if step < warmup => (step + 1) as f64 / warmup as f64,
            Schedule::Constant { .. } => 1.0,
            Schedule::Cosine { floor, .. } => {
                let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
                floor as f64 + (1.0 - floor as f64) * cosine
            }
        };
        (peak as f64 * factor) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(a: f32, b: f32) {
        assert!((a - b).abs() <= 2e-7 * b.abs(), "{a} is not {b}");
    }

    #[test]
    fn cosine_to_a_tenth() {
        let schedule = Schedule::Cosine { warmup: 0, floor: 0.1 };
        for (step, want) in [(0, 9.65e-6), (25, 8.378_111e-6), (50, 5.3075e-6), (100, 9.65e-7), (200, 9.65e-7)] {
            close(schedule.lr_at(9.65e-6, step, 100), want);
        }
    }

    /// The rates that torch's run used for the golden models: three steps up, then down to a tenth.
    #[test]
    fn cosine_after_warmup() {
        let schedule = Schedule::Cosine { warmup: 3, floor: 0.1 };
        let want = [3.333_333_3e-4, 6.666_666_7e-4, 1e-3, 1e-3, 9.554_36e-4, 8.305_704e-4, 6.501_344e-4];
        want.into_iter().enumerate().for_each(|(step, want)| close(schedule.lr_at(1e-3, step, 10), want));
    }

    #[test]
    fn constant_after_warmup_from_a_tenth() {
        let schedule = Schedule::Constant { warmup: 10 };
        for (step, want) in [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (1000, 1.0)] {
            close(schedule.lr_at(1.0, step, 100), want);
        }
        close(Schedule::Constant { warmup: 0 }.lr_at(3e-4, 0, 1), 3e-4);
    }
}
