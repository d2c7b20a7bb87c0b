//! `rlhf inspect`: what is in a model or a data file.

use crate::error::Result;
use crate::hub;
use crate::progress::use_colour;
use crate::session::Common;
use crate::training::loading;
use clap::Args;
use model::{Description, HeadKind};
use rlhf_core::data::{self, Inspection, Part, Processor};
use rlhf_core::range::{MANY, TOKENS, count};
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
    /// A model (a directory, a .gguf file, or org/name on the hub), a data file, or a folder with files train, valid
    /// and test
    path: PathBuf,
    /// The model whose tokenizer and context a data file is read with
    #[arg(long)]
    model: Option<PathBuf>,
    /// Count what is cut for a shorter context than the model's
    #[arg(long, requires = "model", value_parser = count(1, TOKENS))]
    context: Option<usize>,
    /// Strings of rows are turns of user and assistant, which the model's chat template writes
    #[arg(long, requires = "model")]
    chat: bool,
    /// Rows to show
    #[arg(long, default_value_t = 3, value_parser = count(0, MANY))]
    rows: usize,
}

pub fn run(args: &InspectArgs, common: &Common) -> Result {
    if data::is_data_folder(&args.path) {
        return data_files(args, common);
    }
    let path = hub::find(&args.path)?;
    let is_model = path.is_dir() || model::named_gguf(&path);
    if is_model { model_files(&path, common) } else { data_files(args, common) }
}

fn data_files(args: &InspectArgs, common: &Common) -> Result {
    let files = match args.path.is_dir() {
        true => [Part::Train, Part::HeldOut].map(|part| data::files_of(&args.path, part).unwrap_or_default()).concat(),
        false => vec![args.path.clone()],
    };
    let mut processor = args.model.as_deref().map(|dir| processor(dir, args.context)).transpose()?;
    processor.iter_mut().for_each(|processor| processor.chat = args.chat);
    for file in &files {
        let file = data::load_file(file)?;
        let inspection = Inspection::new(&file, processor.as_ref(), args.rows)?;
        if common.json {
            println!("{}", serde_json::to_string(&inspection).expect("plain values"));
        } else {
            print!("{}", inspection.render(use_colour() && std::io::stdout().is_terminal()));
        }
    }
    Ok(())
}

/// How text becomes tokens for a model, within its context or a smaller one.
fn processor(model: &Path, context: Option<usize>) -> Result<Processor> {
    let path = hub::find(model)?;
    let mut config = model::stated_config(&path)?;
    if let Some(context) = context {
        config.context = loading::shorter(config.context, context)?;
    }
    loading::processor_to_look(&path, &config)
}

fn model_files(dir: &Path, common: &Common) -> Result {
    let Description { config, head, learning, frozen, adapter, answering, dtypes } = model::describe(dir)?;
    let parameters = learning + frozen;
    let arch = config.arch;
    let head = if head == HeadKind::Lm { "language model" } else { "reward model (one score a token)" };
    let vocabulary = loading::tokenizer(dir)?.map(|t| t.vocab_size());
    let (weights, training) = (answering, 2 * frozen + 16 * learning);
    if common.json {
        println!(
            "{}",
            json!({
                "architecture": arch, "head": head, "parameters": parameters, "layers": config.layers,
                "channels": config.channels, "heads": config.heads.q, "kv_heads": config.heads.kv, "hidden": config.intermediate_size,
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
    if let Some((rank, base)) = adapter {
        println!("  adapter      {learning} of them, rank {rank}, upon {}", base.display());
    }
    println!("  layers       {} of {} channels, MLP {}", config.layers, config.channels, config.intermediate_size);
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
