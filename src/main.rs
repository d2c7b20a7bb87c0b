//! The `rlhf` command. One file a verb in `verbs/`; the pipeline of `rlhf run` in `run/`.

mod cli;
mod error;
mod plot;
mod progress;
mod recipe;
mod report;
mod results;
mod rows;
mod run;
mod runlog;
mod session;
mod stop;
mod template;
mod verbs;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.kind as u8)
        }
    }
}
