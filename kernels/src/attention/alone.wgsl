// Rung 1, the base: an invocation owns a whole row. Costs registers: all of a head's channels, several times.
const SHARE = 1u;
fn across(s: vec2f) -> vec2f { return s; }
fn skip(seen: bool) -> bool { return !seen; }
