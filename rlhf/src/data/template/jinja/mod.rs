//! Jinja as transformers sets it up for chat templates: jinja2's immutable sandbox, `trim_blocks`, `lstrip_blocks`, loop
//! controls, and the `generation` tag that says what the assistant wrote. What it gives equals what jinja2 gives; a
//! table of expressions in the tests says where that was looked at. A template is a program of strangers: it gets so
//! many steps, so much room, and nests so deep.

mod attributes;
mod call;
mod eval;
mod filters;
mod format;
mod is;
mod json;
mod lex;
mod math;
mod methods;
mod parse;
mod slice;
mod strings;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod value;
mod words;

pub use eval::NONCE;

use std::sync::Arc;

use crate::data::json::Json;
use eval::Machine;
use tree::Stmt;
use value::{Frame, Value};

/// Steps that one rendering may take, and bytes that it may make: so many, and so many for each byte of what it is
/// given.
const STEPS: u64 = 1_000_000;
const BYTES: u64 = 8 << 20;
const EACH: u64 = 64;

#[derive(Clone)]
pub struct Jinja {
    body: Arc<Vec<Stmt>>,
    /// Has it the `generation` tag?
    pub marks_completions: bool,
}

impl Jinja {
    pub fn new(source: &str) -> Result<Jinja, String> {
        let parse::Parsed { body, marks_completions } = parse::parse(source)?;
        Ok(Jinja { body: body.into(), marks_completions })
    }

    pub fn render(&self, context: Vec<(String, Json)>) -> Result<String, String> {
        let mut given = String::new();
        context.iter().for_each(|(_, value)| value.texts(&mut given));
        let given = given.len() as u64;
        value::allow(STEPS.saturating_add(given.saturating_mul(4)), BYTES.saturating_add(given.saturating_mul(EACH)));
        let names = context.iter().map(|(name, value)| (name.clone(), Value::from(value))).collect();
        let (machine, mut out) = (Machine::new(), String::new());
        let done = machine.run(&self.body, &Frame::new(None, names), &mut out);
        let line = machine.line.get();
        done.map_err(|error| format!("{error} (line {line} of the template)"))?;
        Ok(out)
    }
}
