//! Ctrl-C, SIGTERM or SIGHUP once: finish the step and save. Twice: stop now.

use crate::error::{Failure, Kind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the training loops look at after every step.
pub fn on_signal() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let hangup = Hangup::was_ignored();
    // A handler can be set once in a process; a second call (only tests do that) keeps the first.
    let _ = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            eprintln!("\nstopped");
            std::process::exit(130);
        }
        eprintln!("\nfinishing this step and saving; press Ctrl-C again to stop now");
    });
    hangup.restore();
    flag
}

/// Between two pieces of work that is not a training loop.
pub fn check(flag: &AtomicBool, doing: &str) -> Result {
    match flag.load(Ordering::Relaxed) {
        true => Err(Failure::new(Kind::Stopped, format!("stopped in {doing}"))),
        false => Ok(()),
    }
}

/// Under `nohup` a hangup is ignored, and stays so.
struct Hangup {
    ignored: bool,
}

#[cfg(unix)]
impl Hangup {
    fn was_ignored() -> Hangup {
        Hangup { ignored: ignore_hangup() == IGNORE }
    }

    fn restore(self) {
        if self.ignored {
            ignore_hangup();
        }
    }
}

#[cfg(not(unix))]
impl Hangup {
    fn was_ignored() -> Hangup {
        Hangup { ignored: false }
    }

    fn restore(self) {
        debug_assert!(!self.ignored);
    }
}

/// SIG_IGN, on every Unix.
#[cfg(unix)]
const IGNORE: usize = 1;

/// Ignores SIGHUP (1 on every Unix), and gives what was done with it before.
#[cfg(unix)]
fn ignore_hangup() -> usize {
    unsafe extern "C" {
        fn signal(number: std::ffi::c_int, handler: usize) -> usize;
    }
    // SAFETY: the C library's own function, with a handler that is none of ours.
    unsafe { signal(1, IGNORE) }
}

/// A command that can be typed as it is printed.
pub fn command(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_typed() {
        let words = ["rlhf", "run", "--out=a b/it's", "--device=gpu:0", ""].map(String::from);
        assert_eq!(command(&words), r"rlhf run '--out=a b/it'\''s' --device=gpu:0 ''");
    }
}
