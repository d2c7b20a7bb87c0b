//! What every verb needs first: the device that was asked for, the seed, and how to report.

use crate::cli::Common;
use crate::error::{Failure, Kind, Result};
use crate::progress::{Mode, Progress};
use crate::tuning_cache;
use kernels::Device;

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
