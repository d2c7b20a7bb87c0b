//! The `rlhf` command. One file a verb in `verbs/`; the pipeline of `rlhf run` in `run/`.

#[macro_use]
mod output;

mod cli;
mod config;
mod error;
mod folder;
mod hub;
mod pipeline;
mod plot;
mod progress;
mod report;
mod reporter;
mod results;
mod rows;
mod runlog;
mod session;
mod stages;
mod stop;
mod terminal;
mod training;
mod tuning_cache;
mod verbs;

use kernels::DeviceFault;
use std::panic;
use std::process::ExitCode;

/// Mesa's device-selection layer looks for a Wayland display and complains on stderr when there is no desktop. We rank
/// adapters ourselves, so it is told to stay away.
fn quiet_driver() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: first thing in main, while there is one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// A parser of files from elsewhere that panics on broken ones: who called it turns that into an error.
fn broken_file(info: &panic::PanicHookInfo) -> bool {
    info.location().is_some_and(|at| ["/tokenizers-", "/parquet-"].iter().any(|crate_| at.file().contains(crate_)))
}

/// Runs the command. A fault of the device ends it like any other failure; a bug still panics.
fn run() -> error::Result {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.payload().is::<DeviceFault>() && !broken_file(info) {
            report(info);
        }
    }));
    let run = || cli::run(std::env::args_os()).and_then(|()| output::flush());
    panic::catch_unwind(run).unwrap_or_else(|panic| match panic.downcast::<DeviceFault>() {
        Ok(fault) => Err(error::Failure::new(error::Kind::Device, fault.to_string())),
        Err(panic) => output::unwritten(panic).unwrap_or_else(|panic| panic::resume_unwind(panic)),
    })
}

fn main() -> ExitCode {
    quiet_driver();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let said = rlhf_core::printable(&failure.message);
            match failure.kind {
                error::Kind::Stopped => eprintln!("{said}"), // the command that goes on has a line of its own
                // one paragraph, whatever names and texts of strangers are in it
                _ => eprintln!("error: {}", said.replace('\n', " ")),
            }
            ExitCode::from(failure.kind as u8)
        }
    }
}
