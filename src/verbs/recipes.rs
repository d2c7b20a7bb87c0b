//! `rlhf recipes ls|cp|cat|check`.

use crate::config::{self, EMBEDDED, Recipe};
use crate::error::{Failure, Result};
use crate::progress::clock;
use crate::session::Common;
use crate::stages::{self, estimate};
use crate::training::memory;
use clap::{Args, Subcommand};
use kernels::{Device, Form, Rng, matmul};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf recipes ls
  rlhf recipes cp mini my.toml && rlhf run my.toml
  rlhf recipes check my.toml --set sft.epochs=3")]
pub struct RecipesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// The recipes inside the program
    Ls,
    /// Copy one into a file, to edit it
    Cp { name: String, file: PathBuf },
    /// Print one
    Cat { name: String },
    /// Validate one, and estimate its memory and time on this machine's CPU
    Check {
        /// A file, or the name of an embedded recipe
        recipe: String,
        /// Override a value, such as --set sft.epochs=3
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
}

pub fn run(args: &RecipesArgs, common: &Common) -> Result {
    match &args.action {
        Action::Ls => ls(common),
        Action::Cp { name, file } => cp(name, file),
        Action::Cat { name } => {
            print!("{}", config::find(name)?.1);
            Ok(())
        }
        Action::Check { recipe, set } => check(&stages::load(recipe, set)?, common),
    }
}

fn ls(common: &Common) -> Result {
    let mut list = Vec::new();
    for (name, _) in EMBEDDED {
        list.push((name, stages::load(name, &[])?.about));
    }
    if common.json {
        let rows: Vec<_> = list.iter().map(|(name, about)| json!({"name": name, "about": about})).collect();
        println!("{}", json!(rows));
    } else {
        list.iter().for_each(|(name, about)| println!("{name:<8} {about}"));
    }
    Ok(())
}

fn cp(name: &str, file: &PathBuf) -> Result {
    let (_, text) = config::find(name)?;
    if file.exists() {
        return Err(Failure::usage(format!("{} exists; remove it or choose another name", file.display())));
    }
    std::fs::write(file, text).map_err(|e| Failure::write(file, e))
}

fn check(recipe: &Recipe, common: &Common) -> Result {
    let estimate = estimate(recipe)?;
    let rate = multiply_rate();
    // Small matrices, attention and the parts between products run at about half of a large product's rate.
    let seconds = estimate.total_flops() / (0.5 * rate);
    if common.json {
        let stages: serde_json::Map<_, _> = estimate.flops.iter().map(|(n, f)| (n.clone(), json!(f))).collect();
        let sizes: serde_json::Map<_, _> = estimate.parameters.iter().map(|(n, p)| (n.clone(), json!(p))).collect();
        let memory = estimate.memory.total();
        println!(
            "{}",
            json!({"recipe": recipe.name, "parameters": sizes, "flops": stages, "memory_bytes": memory, "seconds": seconds})
        );
        return Ok(());
    }
    println!("{} is a good recipe.", recipe.name);
    for (size, parameters) in &estimate.parameters {
        println!("  size {size}: about {:.2} million parameters", parameters / 1e6);
    }
    for (stage, flops) in &estimate.flops {
        println!("  {stage:<12} {:>9.2} TFLOP  about {}", flops / 1e12, clock(flops / (0.5 * rate)));
    }
    println!("Time about {} on this CPU ({:.0} GFLOP/s).", clock(seconds), rate / 1e9);
    println!("Of the largest stage, {}.", estimate.memory);
    memory::check(&estimate.memory, &Device::Cpu)
}

/// Floating-point operations a second of a 512³ product on the CPU: the best of three.
fn multiply_rate() -> f64 {
    let n = 512;
    let square = |name| kernels::normal(Rng::new(1).stream(name), &Device::Cpu, &[n, n], 1.0);
    let (a, b) = (square("a"), square("b"));
    let time = |_| {
        let start = Instant::now();
        std::hint::black_box(matmul(Form::NN, &a, &b));
        start.elapsed().as_secs_f64()
    };
    2.0 * (n * n * n) as f64 / (0..3).map(time).fold(f64::INFINITY, f64::min)
}
