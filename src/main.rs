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

/// Mesa's device-selection layer looks for a Wayland display and complains on stderr when there is no desktop. We rank
/// adapters ourselves, so it is told to stay away.
fn quiet_driver() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: first thing in main, while there is one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

fn main() -> ExitCode {
    quiet_driver();
    match cli::run(std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let label = if failure.kind == error::Kind::Stopped { "" } else { "error: " };
            eprintln!("{label}{failure}");
            ExitCode::from(failure.kind as u8)
        }
    }
}
