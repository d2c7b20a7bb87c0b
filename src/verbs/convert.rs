//! `rlhf convert`: a model from one kind of file to another.

use crate::error::{Failure, Result};
use crate::hub;
use crate::session::Common;
use crate::training::memory::{self, Reader};
use clap::Args;
use kernels::Device;
use model::Dtype;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf convert runs/mini/S.ppo_ptx ppo.gguf --dtype f16      for llama.cpp
  rlhf convert smollm2.gguf smollm2                          for transformers, or to train
  rlhf convert DIR HALF --dtype bf16")]
pub struct ConvertArgs {
    /// A model: a directory, a .gguf file, or org/name on the hub
    from: PathBuf,
    /// What to write: a GGUF file if the name ends in .gguf, else a Hugging Face directory
    to: PathBuf,
    /// How numbers are stored: f32 (loses nothing), f16, bf16, or in GGUF q8_0. Vectors stay f32 in GGUF
    #[arg(long, default_value = "f32", value_name = "f32|f16|bf16|q8_0")]
    dtype: Dtype,
}

pub fn run(args: &ConvertArgs, common: &Common) -> Result {
    let to = &args.to;
    if to.exists() {
        return Err(Failure::usage(format!("{} exists; remove it or choose another name", to.display())));
    }
    if args.dtype == Dtype::Q8_0 && !model::named_gguf(to) {
        return Err(Failure::usage(format!(
            "--dtype q8_0: only GGUF has it; choose f32, f16 or bf16 for a directory, or write {}.gguf",
            to.display()
        )));
    }
    let from = hub::find(&args.from)?;
    memory::check(&Reader::of(&from, &Device::Cpu)?.converting(), &Device::Cpu)?;
    model::convert(&from, to, args.dtype)?;
    let bytes = size(to);
    if common.json {
        println!("{}", json!({"path": to.to_string_lossy(), "bytes": bytes}));
    } else if !common.quiet {
        println!("{}: {:.1} MiB", to.display(), bytes as f64 / f64::from(1 << 20));
    }
    Ok(())
}

/// Of a file, or of the files in a directory.
fn size(path: &Path) -> u64 {
    let of = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len());
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| of(&entry.path())).sum(),
        Err(_) => of(path),
    }
}
