//! Mutations of every kind of file that comes from strangers. Whatever a file says, reading it must neither panic nor
//! abort, take longer than two seconds, nor hold more memory than 16 MiB and eight times its size.
//!
//! `cargo test --test fuzz -- 200000 [kind] [first]`: so many of each kind (or of one), from the first on. A case is a
//! function of its kind and number alone, so what is reported can be tried again by itself.

mod clock;
mod kinds;
#[path = "../../model/src/tests/memory.rs"]
mod memory;
mod mutate;

use clock::Clock;
use kinds::{Kind, Place};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A run of the tests tries so many of each kind.
const FEW: u64 = 150;
const LONGEST: Duration = Duration::from_secs(2);

/// What is being tried: the milliseconds that had been computed when it began, and one; or 0.
static BEGAN: AtomicU64 = AtomicU64::new(0);
static NUMBER: AtomicU64 = AtomicU64::new(0);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let numbers: Vec<u64> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let (rounds, first) = (numbers.first().copied().unwrap_or(FEW), numbers.get(1).copied().unwrap_or(0));
    let wanted = |kind: &&Kind| {
        !args.iter().any(|arg| kinds::ALL.iter().any(|k| k.name() == arg)) || args.contains(&kind.name().into())
    };
    kernels::cpu::thread_pool::limit(1); // memory and time are those of one thread
    std::panic::set_hook(Box::new(|_| {})); // parsers that panic are caught where they are called
    let clock = Clock::new();
    let watched = clock.clone();
    std::thread::spawn(move || watch(&watched));
    let place = Place::new();
    let mut faults = 0;
    for kind in kinds::ALL.iter().filter(wanted) {
        let seeds = kind.seeds(&place);
        let (mut accepted, mut most) = (0, 0.0f64);
        for number in first..first + rounds {
            let (seed, bytes) = mutate::mutated(kind.name(), number, &seeds);
            kind.put(&place, seed, &bytes);
            NUMBER.store(number, Ordering::Relaxed);
            BEGAN.store(milliseconds(&clock) + 1, Ordering::Relaxed);
            let (result, held) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| kind.read(&place, seed))));
            BEGAN.store(0, Ordering::Relaxed);
            let allowed = (16 << 20) + 8 * bytes.len();
            most = most.max(held as f64 / allowed as f64);
            let fault = match result {
                Err(panic) => Some(format!("panicked: {}", words(&*panic))),
                Ok(_) if held > allowed => Some(format!("held {held} bytes, {allowed} are allowed")),
                Ok(read) => {
                    accepted += u64::from(read);
                    None
                }
            };
            if let Some(fault) = fault {
                faults += 1;
                println!("{} {number}: {fault}", kind.name());
            }
        }
        let name = kind.name();
        println!("{name}: {rounds} tried, {accepted} accepted, at most {:.0} % of the memory allowed", 100.0 * most);
    }
    std::process::exit(i32::from(faults > 0));
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
}

fn milliseconds(clock: &Clock) -> u64 {
    clock.computed().as_millis() as u64
}

/// Ends the program where one case takes too long.
fn watch(clock: &Clock) {
    loop {
        std::thread::sleep(Duration::from_millis(50));
        let (began, now) = (BEGAN.load(Ordering::Relaxed), milliseconds(clock));
        if began > 0 && now.saturating_sub(began) > LONGEST.as_millis() as u64 {
            println!("number {} takes longer than {LONGEST:?}", NUMBER.load(Ordering::Relaxed));
            std::process::exit(1);
        }
    }
}
