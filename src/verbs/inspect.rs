//! `rlhf inspect`: what is in a model or a data file.

use super::loading;
use crate::cli::Common;
use crate::error::{Failure, Result};
use crate::hub;
use crate::progress::use_colour;
use crate::rows::data_failure;
use crate::run::library_failure;
use clap::Args;
use kernels::Device;
use model::{Arch, HeadKind, Tokenizer};
use rlhf_core::data::{self, Inspection};
use serde_json::json;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf inspect runs/mini/L.ppo_ptx                       architecture, parameters, dtypes, memory
  rlhf inspect smollm2.gguf                              the same of a GGUF file
  rlhf inspect pairs.jsonl                               format found, rows, lengths, first rows
  rlhf inspect demos.jsonl --model runs/mini/L.base      the same in tokens, those that are trained coloured")]
pub struct InspectArgs {
    /// A model (a directory, a .gguf file, or org/name on the hub) or a data file
    path: PathBuf,
    /// The model whose tokenizer and context a data file is read with
    #[arg(long)]
    model: Option<PathBuf>,
    /// Rows to show
    #[arg(long, default_value_t = 3)]
    rows: usize,
}

pub fn run(args: &InspectArgs, common: &Common) -> Result {
    let path = hub::find(&args.path)?;
    let is_model = path.is_dir() || path.extension().is_some_and(|end| end == "gguf");
    if is_model { model_files(&path, common) } else { data_file(args, common) }
}

fn data_file(args: &InspectArgs, common: &Common) -> Result {
    let file = data::load_file(&args.path).map_err(data_failure)?;
    let with = match &args.model {
        Some(model) => Some(tokenizer_and_context(&hub::find(model)?)?),
        None => None,
    };
    let inspection = Inspection::new(&file, with.as_ref().map(|(t, context)| (t, *context)), args.rows);
    if common.json {
        println!("{}", serde_json::to_string(&inspection).expect("plain values"));
    } else {
        print!("{}", inspection.render(use_colour() && std::io::stdout().is_terminal()));
    }
    Ok(())
}

fn tokenizer_and_context(dir: &Path) -> Result<(Tokenizer, usize)> {
    let config = model::read_config(dir).map_err(library_failure)?;
    let missing = || Failure::model(format!("{} has no tokenizer", dir.display()));
    Ok((loading::tokenizer(dir)?.ok_or_else(missing)?, config.context))
}

fn model_files(dir: &Path, common: &Common) -> Result {
    let loaded = model::load(dir, &Device::Cpu).map_err(library_failure)?;
    let config = loaded.config();
    let parameters: usize = loaded.params.iter().map(|(_, _, shape)| shape.iter().product::<usize>()).sum();
    let arch = if config.arch == Arch::Gpt2 { "gpt2" } else { "llama" };
    let head = if loaded.head() == HeadKind::Lm { "language model" } else { "reward model (one score a token)" };
    let dtypes = model::dtypes(dir).map_err(library_failure)?;
    let vocabulary = loading::tokenizer(dir)?.map(|t| t.vocab_size());
    let (weights, training) = (4 * parameters, 16 * parameters);
    if common.json {
        println!(
            "{}",
            json!({
                "architecture": arch, "head": head, "parameters": parameters, "layers": config.layers,
                "channels": config.channels, "heads": config.heads.q, "kv_heads": config.heads.kv, "hidden": config.hidden,
                "vocab": config.vocab, "context": config.context, "dtypes": dtypes, "tokenizer": vocabulary,
                "memory_bytes": {"weights": weights, "training": training},
            })
        );
        return Ok(());
    }
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!("{}", dir.display());
    println!("  {arch}, {head}");
    println!("  parameters   {parameters} ({:.2} million)", parameters as f64 / 1e6);
    println!("  layers       {} of {} channels, MLP {}", config.layers, config.channels, config.hidden);
    println!("  heads        {} of size {}, {} for keys and values", config.heads.q, config.heads.dim, config.heads.kv);
    println!("  vocabulary   {}, tied output: {}", config.vocab, if config.tied { "yes" } else { "no" });
    println!("  context      {} tokens", config.context);
    println!("  in files     {}", dtypes.iter().map(|(d, n)| format!("{d} × {n}")).collect::<Vec<_>>().join(", "));
    println!("  tokenizer    {}", vocabulary.map_or("none".into(), |v| format!("{v} tokens")));
    println!(
        "  memory       {:.1} MiB of weights; {:.1} MiB to train (weights, gradient, two moments)",
        mib(weights),
        mib(training)
    );
    Ok(())
}
