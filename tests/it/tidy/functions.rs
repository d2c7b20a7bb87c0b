//! No function of the product over 60 lines without a reason.

use super::{files, relative, root};
use std::fs;

const LONGEST: usize = 60;

/// Functions that may be longer, by the end of their file's path and their name, each with its reason.
const LONG: &[(&str, &str)] = &[
    ("gemm/amx.rs sums", "one tile program, with its registers"),
    ("gemm/mod.rs panel", "the loops of a product in their order"),
    ("jinja/eval.rs expression", "one arm for each kind of expression"),
    ("jinja/eval.rs statement", "one arm for each kind of statement"),
    ("jinja/filters.rs filter", "one arm for each of jinja2's filters"),
    ("jinja/format.rs one", "one arm for each conversion of Python's format"),
    ("jinja/format.rs percent", "one arm for each conversion of Python's %"),
    ("parse/expressions.rs primary", "one arm for each beginning of an expression"),
    ("jinja/strings.rs call", "one arm for each of Python's methods of strings"),
];

/// The name in a line that begins a function.
fn begins(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// The functions of a file before its tests, each with its number of lines: rustfmt puts the last brace below the `fn`.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = product.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = begins(line) else { continue };
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let more = lines[at + 1..].iter().position(|line| *line == end);
        let whole = line.ends_with('}') || line.ends_with(';'); // in one line, or without a body
        found.push((name, if whole { 1 } else { 2 + more.expect("rustfmt") }));
    }
    found
}

#[test]
fn functions_are_short() {
    let mut gone: Vec<&str> = LONG.iter().map(|(function, _)| *function).collect();
    for folder in ["src", "kernels/src", "autograd/src", "model/src", "rlhf/src"] {
        for path in files(&root().join(folder), "rs") {
            let file = relative(&path);
            if file.contains("/tests/") || file.ends_with("tests.rs") {
                continue;
            }
            for (name, lines) in functions(&fs::read_to_string(&path).unwrap()) {
                let function = format!("{file} {name}");
                let excused = LONG.iter().any(|(long, _)| function.ends_with(long));
                assert!(
                    lines <= LONGEST || excused,
                    "{function} has {lines} lines; split it, or give a reason in LONG"
                );
                gone.retain(|long| !function.ends_with(long));
            }
        }
    }
    assert!(gone.is_empty(), "LONG names {gone:?}, which are gone");
}

#[test]
fn a_function_ends_at_the_brace_below_it() {
    let text = "impl X {\n    pub fn a(\n        x: u32,\n    ) -> u32 {\n        if x {\n        }\n    }\n\n    fn b() {}\n    fn c(&self);\n}\n";
    assert_eq!(functions(text), [("a", 6), ("b", 1), ("c", 1)]);
}
