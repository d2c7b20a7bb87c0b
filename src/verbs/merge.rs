//! `rlhf merge`: an adapter and the model that it stands on, as one model.

use super::ModelArg;
use crate::error::{Failure, Result};
use crate::hub;
use crate::session::Common;
use crate::training::loading;
use crate::training::memory::{self, Reader};
use crate::training::save;
use clap::Args;
use kernels::Device;
use model::lora;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf merge adapter --out whole          a model directory that needs neither adapter nor base")]
pub struct MergeArgs {
    #[command(flatten)]
    model: ModelArg,
    /// The folder to write
    #[arg(short, long)]
    out: PathBuf,
}

pub fn run(args: &MergeArgs, common: &Common) -> Result {
    let adapter = hub::find(args.model.path())?;
    if !lora::is_adapter(&adapter) {
        let dir = adapter.display();
        return Err(Failure::usage(format!("{dir} has no adapter_config.json: it is no adapter to merge")));
    }
    if args.out.exists() && std::fs::read_dir(&args.out).is_ok_and(|mut files| files.next().is_some()) {
        let out = args.out.display();
        return Err(Failure::usage(format!("{out} is not empty; choose another folder with --out")));
    }
    memory::check(&Reader::of(&adapter, &Device::Cpu)?.merging(), &Device::Cpu)?;
    let loaded = model::load_to_answer(&adapter, &Device::Cpu)?;
    let merged = lora::merge(&loaded);
    let head = loaded.head();
    let opened = loading::read(adapter, None, head, loaded)?;
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::write(&args.out, e))?;
    match opened.tokenizer {
        Some(_) => save(&merged, &args.out, &opened.processor()?)?,
        None => model::save(&args.out, &merged, None)?,
    }
    common.progress().say(&format!("merged into {}", args.out.display()));
    Ok(())
}
