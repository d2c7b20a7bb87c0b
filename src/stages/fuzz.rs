//! Mutations of recipes: whatever one says, checking and estimating it neither panics nor takes long. RLHF_FUZZ says
//! how many are tried.

use super::{estimate, parse};
use crate::config::EMBEDDED;
use kernels::{Draws, Rng};
use std::time::Duration;

#[path = "../../tests/fuzz/clock.rs"]
mod clock;

const VALUES: [&str; 16] = [
    "0",
    "-1",
    "1",
    "1e308",
    "-0.0",
    "nan",
    "inf",
    "4294967296",
    "9223372036854775807",
    "1000000000000",
    "\"\"",
    "\"../x\"",
    "[]",
    "{ S = 1 }",
    "true",
    "1970-01-01",
];

/// Another value in one line, or bytes that are changed, taken out or put in.
fn mutate(text: &str, draws: &mut Draws) -> String {
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    for _ in 0..1 + draws.below(4) {
        let at = draws.below(lines.len());
        let line = lines[at].clone();
        lines[at] = match (draws.below(5), line.split_once('=')) {
            (0..3, Some((key, _))) => format!("{key}= {}", VALUES[draws.below(VALUES.len())]),
            (3, _) => lines[draws.below(lines.len())].clone(),
            _ if line.is_empty() => "[model.\"\\u001b\"]".into(),
            _ => {
                let mut bytes = line.into_bytes();
                let at = draws.below(bytes.len());
                bytes[at] ^= 1 << draws.below(7);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        };
    }
    lines.join("\n")
}

#[test]
fn mutated_recipes_are_good_or_refused() {
    let rounds = std::env::var("RLHF_FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let (clock, mut accepted) = (clock::Clock::new(), 0);
    for number in 0..rounds {
        let mut draws = Rng::new(number).stream("recipe").draws();
        let (name, text) = EMBEDDED[draws.below(EMBEDDED.len())];
        let text = mutate(text, &mut draws);
        let start = clock.computed();
        if let Ok(recipe) = parse(name, &text, &[]) {
            let _ = estimate(&recipe); // a recipe may name models that are not here
            accepted += 1;
        }
        let took = clock.computed() - start;
        assert!(took < Duration::from_secs(2), "recipe {number} took {took:?}");
    }
    assert!(accepted > 0 && accepted < rounds, "{accepted} of {rounds} accepted");
}
