//! One file made into another: bytes and words changed, taken out, doubled, moved.

use kernels::{Draws, Rng};

/// What parsers stumble over.
const WORDS: &[&[u8]] = &[
    b"null",
    b"true",
    b"false",
    b"{}",
    b"[]",
    b"\"\"",
    b"0",
    b"-1",
    b"1e9",
    b"1e308",
    b"-1e308",
    b"1e-320",
    b"0.5",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"18446744073709551615",
    b"1000000",
    b"100000",
    b"nan",
    b"inf",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"../../x",
    b"/",
    b"<|endoftext|>",
    b"|",
    b"~",
    b"{{",
    b"}}",
    b"{%",
    b"%}",
    b"for x in messages",
    b"(",
    b")",
    b"[",
    b"]",
    b" + ",
    b" * ",
    b".",
    b"messages",
    b"range(1000000000)",
    b"namespace()",
    b"| string",
    b"| join",
    b"| length",
    b"| tojson",
    b"loop.index",
    b"x",
];

/// The `number`-th mutation of a kind, and of which of its seeds.
pub fn mutated(kind: &str, number: u64, seeds: &[Vec<u8>]) -> (usize, Vec<u8>) {
    let mut draws = Rng::new(number).stream(kind).draws();
    let seed = draws.below(seeds.len());
    let mut bytes = seeds[seed].clone();
    for _ in 0..1 + draws.below(4) {
        change(&mut bytes, &mut draws);
    }
    (seed, bytes)
}

/// Files have their headers first: half of the changes are in the first part.
fn place(bytes: &[u8], draws: &mut Draws) -> usize {
    let end = if draws.below(2) == 0 { bytes.len().min(4096) } else { bytes.len() };
    draws.below(end.max(1))
}

fn change(bytes: &mut Vec<u8>, draws: &mut Draws) {
    if bytes.is_empty() {
        bytes.push(b'{');
    }
    let at = place(bytes, draws);
    let word: &[u8] = WORDS[draws.below(WORDS.len())];
    match draws.below(11) {
        0 => bytes[at] ^= 1 << draws.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'[', b',', b':'][draws.below(10)],
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, draws.below(256) as u8),
        4 => bytes.truncate(at + 1),
        5 => drop(bytes.splice(at..at, word.iter().copied())),
        6 => {
            let (from, to) = value_at(bytes, at);
            bytes.splice(from..to, word.iter().copied());
        }
        7 => {
            // a piece once more, somewhere else
            let piece = bytes[at..(at + 1 + draws.below(64)).min(bytes.len())].to_vec();
            let to = place(bytes, draws);
            bytes.splice(to..to, piece);
        }
        8 => {
            let many = 1 << draws.below(14);
            let piece = bytes[at..(at + 1 + draws.below(8)).min(bytes.len())].repeat(many);
            bytes.splice(at..at, piece);
        }
        9 => {
            let many = 1 << draws.below(12);
            bytes.splice(at..at, word.repeat(many));
        }
        _ => {
            let end = (at + draws.below(32)).min(bytes.len());
            bytes.drain(at..end);
        }
    }
}

/// The value, word or number around a place.
fn value_at(bytes: &[u8], at: usize) -> (usize, usize) {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || b"._-\"".contains(b);
    let from = bytes[..at].iter().rposition(|b| !is_part(b)).map_or(0, |i| i + 1);
    let to = bytes[at..].iter().position(|b| !is_part(b)).map_or(bytes.len(), |i| at + i);
    (from, to.max(from))
}
