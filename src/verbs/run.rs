//! `rlhf run`: a whole pipeline from a recipe.

use crate::error::Result;
use crate::folder::nothing_to_resume;
use crate::progress::clock;
use crate::report;
use crate::session::Common;
use crate::stages::{self, estimate};
use crate::training::memory;
use crate::{pipeline, stop};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug, Default)]
#[command(after_help = "Examples:
  rlhf run                                     InstructGPT in miniature, into runs/mini
  rlhf run --seed 2 --out runs/seed-2
  rlhf run --resume --out runs/mini            go on with a run that was stopped or killed
  rlhf run books --set data=FOLDER             real text; see rlhf recipes cat books
  rlhf run my.toml --set sft.epochs=3")]
pub struct RunArgs {
    /// A recipe file, or the name of an embedded recipe [default: mini]
    pub recipe: Option<String>,
    /// The run folder [default: runs/NAME]
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// Override a value of the recipe, such as --set sft.epochs=3
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// How products multiply while training: the key `precision` of every stage
    #[arg(long, value_parser = crate::session::precision, value_name = "f32|bf16")]
    pub precision: Option<kernels::Precision>,
    /// Go on with the run in --out, by the recipe that is in it; finished stages are not done again
    #[arg(long)]
    pub resume: bool,
    /// With --resume: go on though recipe, data, models or machine are not those that the run was started with
    #[arg(long, requires = "resume")]
    pub force: bool,
}

pub fn run(args: &RunArgs, common: &Common) -> Result {
    let stop = stop::on_signal();
    let saved = args.out.as_ref().filter(|_| args.resume && args.recipe.is_none()).map(|out| out.join("recipe.toml"));
    if let (Some(saved), Some(out)) = (&saved, &args.out) {
        saved.exists().then_some(()).ok_or_else(|| nothing_to_resume(out))?;
    }
    let saved = saved.map(|path| path.to_string_lossy().into_owned());
    let which = args.recipe.as_deref().or(saved.as_deref()).unwrap_or("mini");
    let mut sets = args.set.clone();
    sets.extend(common.seed.map(|seed| format!("seed={seed}")));
    if let Some(precision) = args.precision {
        sets.extend(stages::sections().iter().map(|s| format!("{}.precision={}", s.name, precision.name())));
    }
    let recipe = stages::load(which, &sets)?;
    let dir = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.name));
    let (device, need) = (common.open_device()?, estimate(&recipe)?.memory);
    memory::check(&need, &device)?;
    let request = pipeline::Request {
        recipe: &recipe,
        dir: &dir,
        resume: args.resume,
        force: args.force,
        device,
        memory: need,
        threads: common.threads(),
        quiet: common.quiet,
        verbose: common.verbose,
        stop,
    };
    let again = common.again(&["rlhf", "run", "--resume"], &dir);
    let results = pipeline::run(&request).map_err(|e| e.going_on(&again))?;
    if common.json {
        println!("{}", serde_json::to_string(&results).expect("results are numbers and names"));
    } else {
        let sizes: Vec<String> = recipe.sizes().into_iter().map(String::from).collect();
        println!("{}", report::text_table(&results, &sizes));
        println!("{} in all. Report: {}", clock(results.seconds), dir.join("report.html").display());
        if let Some(chat) = report::chat(&dir, &results, &sizes) {
            println!("Talk to it: {chat}");
        }
    }
    Ok(())
}
