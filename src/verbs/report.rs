//! `rlhf report`: the page of a run, built again from its folder alone.

use crate::error::Result;
use crate::report;
use crate::session::Common;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Example:
  rlhf report runs/mini            writes runs/mini/report.html and figure1.svg again")]
pub struct ReportArgs {
    /// The folder of a finished run
    dir: PathBuf,
}

pub fn run(args: &ReportArgs, common: &Common) -> Result {
    let page = report::write(&args.dir)?;
    if common.json {
        println!("{}", json!({"report": page}));
    } else {
        println!("{}", page.display());
    }
    Ok(())
}
