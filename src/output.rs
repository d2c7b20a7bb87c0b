//! Printing. `println!` and `print!` of this crate are those below: output that cannot be written ends the program with
//! an error, silently where only the reader has gone (`| head`). `eprintln!` and `eprint!` never fail: what is said on
//! stderr matters less than what is being done.

use crate::error::{Failure, Result};
use crate::terminal::{to_stderr, to_stdout};
use std::any::Any;
use std::fmt::Arguments;
use std::io::{Error, ErrorKind, Write, stderr, stdout};
use std::panic::resume_unwind;

macro_rules! print {
    ($($part:tt)*) => { $crate::output::print(format_args!($($part)*)) };
}

macro_rules! println {
    () => { $crate::output::print(format_args!("\n")) };
    ($($part:tt)*) => { $crate::output::print_line(format_args!($($part)*)) };
}

macro_rules! eprint {
    ($($part:tt)*) => { $crate::output::say(format_args!($($part)*)) };
}

macro_rules! eprintln {
    () => { $crate::output::say(format_args!("\n")) };
    ($($part:tt)*) => { $crate::output::say_line(format_args!($($part)*)) };
}

/// How `print` unwinds to `main`.
struct Unwritten(Error);

pub fn print(text: Arguments) {
    if let Err(e) = stdout().lock().write_all(text.to_string().as_bytes()) {
        resume_unwind(Box::new(Unwritten(e)));
    }
}

/// Lines have no control characters of strangers for a terminal; colours and bars of ours go through `print!`.
pub fn print_line(text: Arguments) {
    print(format_args!("{}\n", to_stdout(&text.to_string())));
}

pub fn say_line(text: Arguments) {
    say(format_args!("{}\n", to_stderr(&text.to_string())));
}

/// One write, so that lines of several threads stay whole.
pub fn say(text: Arguments) {
    let _ = stderr().lock().write_all(text.to_string().as_bytes());
}

/// What was printed last has yet to leave the buffer.
pub fn flush() -> Result {
    stdout().flush().or_else(written)
}

/// Was it `print` that unwound, what does the program end with?
pub fn unwritten(panic: Box<dyn Any + Send>) -> std::result::Result<Result, Box<dyn Any + Send>> {
    panic.downcast::<Unwritten>().map(|unwritten| written(unwritten.0))
}

fn written(error: Error) -> Result {
    match error.kind() {
        ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::usage(format!("cannot write to standard output: {error}"))),
    }
}
