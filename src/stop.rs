//! Ctrl-C once: finish the step and save. Twice: stop now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that the training loops look at after every step.
pub fn on_ctrl_c() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    // A handler can be set once in a process; a second call (only tests do that) keeps the first.
    let _ = ctrlc::set_handler(move || {
        if seen.swap(true, Ordering::SeqCst) {
            eprintln!("\nstopped");
            std::process::exit(130);
        }
        eprintln!("\nfinishing this step and saving; press Ctrl-C again to stop now");
    });
    flag
}
