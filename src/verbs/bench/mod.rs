//! `rlhf bench`: kernels and steps beside the roof measured in the same call.

mod gpu;
mod kernels;
mod ladder;
mod scaling;
mod steps;

use crate::error::Result;
use crate::session::Common;
use ::kernels::{Device, Precision};
use clap::Args;
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf bench                              all kernels
  rlhf bench matmul --device cpu --json
  rlhf bench matmul --device gpu --retune   every rung of the product, measured anew
  rlhf bench train --device gpu --profile   where a training step spends its time
  rlhf bench train --size small           tokens a second of a training step
  rlhf bench generate --size tiny
  rlhf bench scaling --plots .            what a step costs as the work grows
  rlhf bench --ladder matmul              from three loops to the limit, one idea a rung
  rlhf bench ppo --size tiny              seconds of one PPO iteration

Nothing else heavy should run meanwhile.")]
pub struct BenchArgs {
    /// Only kernels whose name has this in it; or train, generate, ppo, scaling
    filter: Option<String>,
    /// Model size for train, generate and ppo: tiny, small or gpt2-124M
    #[arg(long, default_value = "tiny")]
    size: String,
    /// For generate: a model that is there, in place of --size
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// How train, generate and ppo multiply: f32 or bf16
    #[arg(long, default_value = "f32", value_parser = crate::session::precision)]
    precision: Precision,
    /// Climb from the naive loops to the fastest, one idea a rung: matmul
    #[arg(long, value_name = "KERNEL")]
    ladder: Option<String>,
    /// Folder for the plots of scaling
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// On a GPU: choose the rungs of the kernels anew, whatever was measured before
    #[arg(long)]
    retune: bool,
    /// On a GPU, with train: time of a step by kernel
    #[arg(long)]
    profile: bool,
}

pub fn run(args: &BenchArgs, common: &Common) -> Result {
    if let Some(name) = &args.ladder {
        return ladder::climb(name, common);
    }
    let device = common.open_device()?;
    if let Device::Gpu(gpu) = &device {
        if args.retune {
            gpu.retune();
        }
        match args.filter.as_deref() {
            Some("train") => return gpu::train(&args.size, args.precision, gpu, args.profile, common),
            Some("generate" | "ppo") => {}
            filter => {
                gpu::ladders(filter.unwrap_or(""), gpu, common);
                return Ok(());
            }
        }
    }
    match args.filter.as_deref() {
        Some("train") => steps::report(steps::train(&args.size, args.precision, &device)?, common),
        Some("generate") => {
            let figures = steps::generation(&args.size, args.model.as_deref(), args.precision, &device)?;
            steps::report(figures, common)
        }
        Some("ppo") => steps::report(steps::ppo(&args.size, args.precision, &device)?, common),
        Some("scaling") => scaling::run(args.precision, &device, args.plots.as_deref(), common)?,
        filter => kernels(filter.unwrap_or(""), &device, common),
    }
    Ok(())
}

/// One line of the table, and one object of the JSON array.
pub struct Row {
    pub name: String,
    pub precision: Precision,
    pub shape: String,
    pub ms: f64,
    pub flops: f64,
    pub bytes: f64,
}

/// The best that this machine can do.
struct Roofs {
    flops: f64,
    bf16: f64,
    bytes: f64,
}

impl Row {
    fn gflops(&self) -> f64 {
        self.flops / self.ms / 1e6
    }

    fn gbs(&self) -> f64 {
        self.bytes / self.ms / 1e6
    }

    /// How near to the roof that binds it: arithmetic or memory, whichever would take longer.
    fn fraction(&self, roofs: &Roofs) -> f64 {
        let peak = if self.precision == Precision::Bf16 { roofs.bf16 } else { roofs.flops };
        let at_best = (self.flops / peak).max(self.bytes / roofs.bytes);
        at_best / (self.ms / 1e3)
    }
}

fn kernels(filter: &str, device: &Device, common: &Common) {
    use ::kernels::cpu::roof;
    let roofs = Roofs { flops: roof::flops(), bf16: roof::bf16_flops(), bytes: roof::copy_bytes() };
    let mut rows = Vec::new();
    if !common.json {
        println!(
            "{} · roofs: {:.1} GFLOP/s in f32, {:.1} in bf16, {:.1} GB/s copying\n",
            device.name(),
            roofs.flops / 1e9,
            roofs.bf16 / 1e9,
            roofs.bytes / 1e9
        );
        println!("{:<18} {:<5} {:<26} {:>9} {:>9} {:>8} {:>6}", "kernel", "", "shape", "ms", "GFLOP/s", "GB/s", "roof");
    }
    for case in kernels::cases(device).into_iter().filter(|c| c.name.contains(filter)) {
        let ms = 1e3 * median_seconds(device, case.run);
        let row = Row {
            name: case.name,
            precision: case.precision,
            shape: case.shape,
            ms,
            flops: case.flops,
            bytes: case.bytes,
        };
        if !common.json {
            print(&row, &roofs);
        }
        rows.push(row);
    }
    if common.json {
        println!("{}", as_json(&rows, &roofs, device));
    }
}

fn print(row: &Row, roofs: &Roofs) {
    println!(
        "{:<18} {:<5} {:<26} {:>9.3} {:>9.1} {:>8.1} {:>4.0} %",
        row.name,
        row.precision.name(),
        row.shape,
        row.ms,
        row.gflops(),
        row.gbs(),
        100.0 * row.fraction(roofs)
    );
}

fn as_json(rows: &[Row], roofs: &Roofs, device: &Device) -> Value {
    let roof = |name, precision: Precision, flops: Option<f64>, bytes: Option<f64>| json!({"name": name, "device": device.name(), "precision": precision.name(), "shape": "", "ms": null, "gflops": flops.map(|f| f / 1e9), "gbs": bytes.map(|b| b / 1e9), "roof_fraction": 1.0});
    let mut all = vec![
        roof("roof_f32", Precision::F32, Some(roofs.flops), None),
        roof("roof_bf16", Precision::Bf16, Some(roofs.bf16), None),
        roof("roof_copy", Precision::F32, None, Some(roofs.bytes)),
    ];
    all.extend(rows.iter().map(|r| {
        let gflops = (r.flops > 0.0).then(|| r.gflops());
        json!({"name": r.name, "device": device.name(), "precision": r.precision.name(), "shape": r.shape, "ms": r.ms, "gflops": gflops, "gbs": r.gbs(), "roof_fraction": r.fraction(roofs)})
    }));
    Value::Array(all)
}

/// Median time of a call. A GPU is waited for, once a batch of calls, so that waiting is not what is measured.
pub fn median_seconds(device: &Device, mut work: impl FnMut()) -> f64 {
    let mut time = |calls: usize| {
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        device.sync();
        start.elapsed().as_secs_f64() / calls as f64
    };
    time(1);
    let calls = ((0.02 / time(1).max(1e-9)) as usize).clamp(1, 1000);
    let mut times: Vec<f64> = (0..7).map(|_| time(calls)).collect();
    times.sort_by(f64::total_cmp);
    black_box(times[times.len() / 2])
}
