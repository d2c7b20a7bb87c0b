//! `rlhf bench --device gpu`: every kernel on every rung of its ladder, and what a training step asks of the GPU.

use super::steps::{Figures, report, shape, train as timed_train};
use super::{Roofs, kernels};
use crate::error::Result;
use crate::session::Common;
use ::kernels::Device;
use ::kernels::Precision;
use ::kernels::gpu::{Choice, Counts, Gpu, Timing, ladders as all_ladders};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One kernel call on one rung of one of its ladders.
struct Row {
    name: String,
    shape: String,
    /// `kernel: rung`; empty where there is but one way.
    rung: String,
    /// Is this the rung that the call takes by itself?
    chosen: bool,
    ms: f64,
    gflops: f64,
    gbs: f64,
    roof: f64,
}

impl Row {
    fn new(case: &kernels::Case, rung: String, chosen: bool, seconds: f64, roofs: &Roofs) -> Row {
        let at_best = (case.flops / roofs.flops).max(case.bytes / roofs.bytes);
        Row {
            name: case.name.clone(),
            shape: case.shape.clone(),
            rung,
            chosen,
            ms: 1e3 * seconds,
            gflops: case.flops / seconds / 1e9,
            gbs: case.bytes / seconds / 1e9,
            roof: at_best / seconds,
        }
    }

    fn print(&self) {
        let Row { name, shape, rung, ms, gflops, gbs, .. } = self;
        let mark = if self.chosen { '*' } else { ' ' };
        let percent = 100.0 * self.roof;
        println!("{name:<18} {shape:<22} {mark} {rung:<36} {ms:>9.3} {gflops:>9.1} {gbs:>8.1} {percent:>4.0} %");
    }

    fn json(&self, device: &str) -> Value {
        json!({
            "name": self.name, "device": device, "precision": "f32", "shape": self.shape, "rung": self.rung,
            "chosen": self.chosen, "ms": self.ms, "gflops": (self.gflops > 0.0).then_some(self.gflops),
            "gbs": self.gbs, "roof_fraction": self.roof,
        })
    }
}

pub fn ladders(filter: &str, gpu: &Arc<Gpu>, common: &Common) {
    let (device, name) = (Device::Gpu(gpu.clone()), gpu.name());
    let flops = gpu.flops_roof();
    let roofs = Roofs { flops, bf16: flops, bytes: gpu.copy_roof() };
    let (tera, giga) = (roofs.flops / 1e9, roofs.bytes / 1e9);
    if !common.json {
        println!("{name} · roofs: {tera:.1} GFLOP/s multiplying in registers, {giga:.1} GB/s copying");
        println!("* is what a call takes by itself\n");
        println!(
            "{:<18} {:<22}   {:<36} {:>9} {:>9} {:>8} {:>6}",
            "kernel", "shape", "rung", "ms", "GFLOP/s", "GB/s", "roof"
        );
    }
    let mut all = vec![
        json!({"name": "roof_f32", "device": name, "gflops": tera, "roof_fraction": 1.0}),
        json!({"name": "roof_copy", "device": name, "gbs": giga, "roof_fraction": 1.0}),
    ];
    // A GPU multiplies in f32; what would take a software one seconds is left out.
    let wanted =
        |c: &kernels::Case| c.name.contains(filter) && c.precision == Precision::F32 && c.flops <= 0.1 * roofs.flops;
    for mut case in kernels::cases(&device).into_iter().filter(wanted) {
        for row in rungs(gpu, &mut case, &roofs) {
            if !common.json {
                row.print();
            }
            all.push(row.json(&name));
        }
    }
    if common.json {
        println!("{}", Value::Array(all));
    }
}

/// The call as it is, and on every rung of the ladders that it climbs.
fn rungs(gpu: &Gpu, case: &mut kernels::Case, roofs: &Roofs) -> Vec<Row> {
    let ladders = all_ladders();
    for (ladder, _) in &ladders {
        gpu.force(ladder, None);
    }
    (case.run)();
    let own = gpu.choices();
    if own.is_empty() {
        let seconds = median(gpu, &mut case.run);
        return vec![Row::new(case, String::new(), true, seconds, roofs)];
    }
    let mut rows = Vec::new();
    for Choice { kernel: ladder, rung: chosen, .. } in own {
        let Some((_, names)) = ladders.iter().find(|(name, _)| *name == ladder) else { continue };
        for rung in names {
            gpu.force(ladder, Some(rung));
            (case.run)();
            if gpu.choices().iter().any(|choice| choice.kernel == ladder && choice.rung == *rung) {
                let seconds = median(gpu, &mut case.run);
                rows.push(Row::new(case, format!("{ladder}: {rung}"), *rung == chosen, seconds, roofs));
            }
        }
        gpu.force(ladder, None);
    }
    rows
}

/// Median seconds on the GPU of five calls after a first; three where a call takes long.
fn median(gpu: &Gpu, run: &mut dyn FnMut()) -> f64 {
    let mut times = vec![gpu.seconds(&mut *run)];
    let runs = if times[0] > 0.5 { 3 } else { 5 };
    times.extend((1..runs).map(|_| gpu.seconds(&mut *run)));
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}

/// A training step: its speed, and what it asks of the GPU.
pub fn train(size: &str, precision: Precision, gpu: &Arc<Gpu>, profile: bool, common: &Common) -> Result {
    let device = Device::Gpu(gpu.clone());
    let mut figures = timed_train(size, precision, &device)?;
    let mut step = shape(size, precision)?.training_step(&device);
    step();
    step();
    let before = gpu.counts();
    step();
    count(&mut figures, before, gpu.counts());
    let timings = if profile { gpu.profile(step) } else { None };
    if let (true, None) = (profile, &timings) {
        eprintln!("{} has no timestamps: no profile", gpu.name());
    }
    let table = timings.map(by_kernel).unwrap_or_default();
    if common.json && profile {
        let rows = table.iter().map(|(kernel, n, s)| json!({"kernel": kernel, "dispatches": n, "ms": 1e3 * s}));
        figures.insert("profile".into(), rows.collect());
    }
    report(figures, common);
    if !common.json && !table.is_empty() {
        let all: f64 = table.iter().map(|(_, _, seconds)| seconds).sum();
        println!("\n{:<44} {:>10} {:>10} {:>6}", "kernel", "dispatches", "ms", "share");
        for (kernel, n, seconds) in table {
            println!("{kernel:<44} {n:>10} {:>10.3} {:>4.1} %", 1e3 * seconds, 100.0 * seconds / all);
        }
    }
    Ok(())
}

/// What one step added to the counters, after two others.
fn count(figures: &mut Figures, before: Counts, after: Counts) {
    let numbers = [
        ("dispatches", after.dispatches - before.dispatches),
        ("submissions", after.submissions - before.submissions),
        ("waits", after.waits - before.waits),
        ("uploaded_bytes", after.uploaded_bytes - before.uploaded_bytes),
        ("read_bytes", after.read_bytes - before.read_bytes),
        ("allocations", after.allocations - before.allocations),
        ("gpu_peak_bytes", after.peak_bytes),
    ];
    figures.extend(numbers.map(|(name, number)| (name.into(), json!(number))));
}

/// Dispatches and seconds of each kernel, the longest first.
fn by_kernel(timings: Vec<Timing>) -> Vec<(String, usize, f64)> {
    let mut sums: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for Timing { kernel, seconds } in timings {
        let sum = sums.entry(kernel).or_default();
        *sum = (sum.0 + 1, sum.1 + seconds);
    }
    let mut table: Vec<_> = sums.into_iter().map(|(kernel, (n, seconds))| (kernel, n, seconds)).collect();
    table.sort_by(|a, b| b.2.total_cmp(&a.2));
    table
}
