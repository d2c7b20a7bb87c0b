//! `rlhf bench`: kernels and steps beside the roof measured in the same call.

mod gpu;
mod kernels;
mod steps;

use crate::cli::Common;
use crate::error::Result;
use ::kernels::Device;
use clap::Args;
use serde_json::{Value, json};
use std::hint::black_box;
use std::time::Instant;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf bench                              all kernels
  rlhf bench matmul --device cpu --json
  rlhf bench matmul --device gpu --retune   every rung of the product, measured anew
  rlhf bench train --device gpu --profile   where a training step spends its time
  rlhf bench train --size small           tokens a second of a training step
  rlhf bench generate --size tiny
  rlhf bench ppo --size tiny              seconds of one PPO iteration

Nothing else heavy should run meanwhile.")]
pub struct BenchArgs {
    /// Only kernels whose name has this in it; or train, generate, ppo
    filter: Option<String>,
    /// Model size for train, generate and ppo: tiny, small or gpt2-124M
    #[arg(long, default_value = "tiny")]
    size: String,
    /// On a GPU: choose the rungs of the kernels anew, whatever was measured before
    #[arg(long)]
    retune: bool,
    /// On a GPU, with train: time of a step by kernel
    #[arg(long)]
    profile: bool,
}

pub fn run(args: &BenchArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    if let Device::Gpu(gpu) = &device {
        if args.retune {
            gpu.retune();
        }
        match args.filter.as_deref() {
            Some("train") => return gpu::train(&args.size, gpu, args.profile, common),
            Some("generate" | "ppo") => {}
            filter => {
                gpu::ladders(filter.unwrap_or(""), gpu, common);
                return Ok(());
            }
        }
    }
    match args.filter.as_deref() {
        Some("train") => steps::report(steps::train(&args.size, &device)?, common),
        Some("generate") => steps::report(steps::generation(&args.size, &device)?, common),
        Some("ppo") => steps::report(steps::ppo(&args.size, &device)?, common),
        filter => kernels(filter.unwrap_or(""), &device, common),
    }
    Ok(())
}

/// One line of the table, and one object of the JSON array.
pub struct Row {
    pub name: String,
    pub shape: String,
    pub ms: f64,
    pub flops: f64,
    pub bytes: f64,
}

/// The best that this machine can do.
struct Roofs {
    flops: f64,
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
        let at_best = (self.flops / roofs.flops).max(self.bytes / roofs.bytes);
        at_best / (self.ms / 1e3)
    }
}

fn kernels(filter: &str, device: &Device, common: &Common) {
    let roofs = Roofs { flops: ::kernels::cpu::roof::flops(), bytes: ::kernels::cpu::roof::copy_bytes() };
    let mut rows = Vec::new();
    if !common.json {
        println!(
            "{} · roofs: {:.1} GFLOP/s in f32, {:.1} GB/s copying\n",
            device.name(),
            roofs.flops / 1e9,
            roofs.bytes / 1e9
        );
        println!("{:<22} {:<26} {:>9} {:>9} {:>8} {:>6}", "kernel", "shape", "ms", "GFLOP/s", "GB/s", "roof");
    }
    for case in kernels::cases(device).into_iter().filter(|c| c.name.contains(filter)) {
        let ms = 1e3 * median_seconds(device, case.run);
        let row = Row { name: case.name, shape: case.shape, ms, flops: case.flops, bytes: case.bytes };
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
        "{:<22} {:<26} {:>9.3} {:>9.1} {:>8.1} {:>4.0} %",
        row.name,
        row.shape,
        row.ms,
        row.gflops(),
        row.gbs(),
        100.0 * row.fraction(roofs)
    );
}

fn as_json(rows: &[Row], roofs: &Roofs, device: &Device) -> Value {
    let object = |name: &str, shape: &str, ms: Option<f64>, gflops: Option<f64>, gbs: Option<f64>, fraction: f64| json!({"name": name, "device": device.name(), "precision": "f32", "shape": shape, "ms": ms, "gflops": gflops, "gbs": gbs, "roof_fraction": fraction});
    let mut all = vec![
        object("roof_f32", "", None, Some(roofs.flops / 1e9), None, 1.0),
        object("roof_copy", "", None, None, Some(roofs.bytes / 1e9), 1.0),
    ];
    all.extend(rows.iter().map(|r| {
        let gflops = (r.flops > 0.0).then(|| r.gflops());
        object(&r.name, &r.shape, Some(r.ms), gflops, Some(r.gbs()), r.fraction(roofs))
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
