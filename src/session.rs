//! What every verb needs first: the device that was asked for, the seed, and how to report.

use crate::error::{Failure, Kind, Result};
use crate::progress::{Mode, Progress};
use crate::stop;
use crate::tuning_cache;
use clap::Args;
use kernels::Device;
use rlhf_core::range::count;
use std::path::Path;

/// Flags of every verb.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where to compute: auto takes a real GPU if there is one, else the CPU; a software GPU only when asked for by gpu
    #[arg(long, global = true, default_value = "auto", value_name = "auto|cpu|gpu|gpu:N")]
    pub device: String,
    /// Everything random follows from it [default: 1, or the recipe's]
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// CPU threads [default: all]
    #[arg(long, global = true, value_parser = count(1, 4096))]
    pub threads: Option<usize>,
    /// No progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More figures in the progress
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// One JSON value on stdout and nothing else, where the verb prints figures
    #[arg(long, global = true)]
    pub json: bool,
}

/// Is this something that `--device` takes?
pub fn check_device(name: &str) -> Result {
    match name.split_once(':').unwrap_or((name, "")) {
        ("cpu" | "auto" | "gpu", "") => Ok(()),
        ("gpu", index) if index.parse::<usize>().is_ok() => Ok(()),
        _ => Err(Failure::new(Kind::Usage, format!("--device {name}: it is auto, cpu, gpu or gpu:N, such as gpu:0"))),
    }
}

/// Opens the device of `--device`. `auto` never fails: without a GPU it is the CPU.
pub fn open_device(name: &str) -> Result<Device> {
    let missing = |e: kernels::DeviceError| {
        let what = e.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        Failure::new(Kind::Device, format!("--device {name}: {what}; rlhf devices lists what there is"))
    };
    check_device(name)?;
    let device = match name {
        "cpu" => Device::Cpu,
        "auto" => Device::gpu(None, false).unwrap_or(Device::Cpu),
        _ => Device::gpu(name.strip_prefix("gpu:").and_then(|index| index.parse().ok()), true).map_err(missing)?,
    };
    if let Device::Gpu(gpu) = &device {
        tuning_cache::attach(gpu);
    }
    Ok(device)
}

impl Common {
    /// The command that goes on in `out`, on the same device, as it can be typed.
    pub fn again(&self, command: &[&str], out: &Path) -> String {
        let mut words: Vec<String> = command.iter().map(|word| word.to_string()).collect();
        words.push(format!("--out={}", out.display()));
        if self.device != "auto" {
            words.push(format!("--device={}", self.device));
        }
        words.extend(self.threads.map(|n| format!("--threads={n}")));
        stop::command(&words)
    }

    pub fn open_device(&self) -> Result<Device> {
        open_device(&self.device)
    }

    pub fn progress(&self) -> Progress {
        Progress::new(Mode::of_stderr(self.quiet))
    }

    /// The seed of a verb that has no recipe.
    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(1)
    }

    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()))
    }
}

/// A value of `--precision`.
pub fn precision(text: &str) -> std::result::Result<kernels::Precision, String> {
    let all = [kernels::Precision::F32, kernels::Precision::Bf16];
    all.into_iter().find(|p| p.name() == text).ok_or_else(|| "it is f32 or bf16".into())
}
