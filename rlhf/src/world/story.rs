//! Made-up sentences and stories: who did what, where.

use super::words::{self, ANIMALS, NAMES, OBJECTS, PLACES, capital, noun};
use kernels::Draws;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tense {
    Present,
    Past,
}

/// Somebody who can do things: a name or an animal.
pub fn actor(draws: &mut Draws) -> &'static str {
    if draws.chance(0.5) { *draws.choose(NAMES) } else { *draws.choose(ANIMALS) }
}

/// A verb of one of the tables, in the tense.
fn verb(table: &[(&'static str, &'static str)], tense: Tense, draws: &mut Draws) -> &'static str {
    let &(present, past) = draws.choose(table);
    if tense == Tense::Present { present } else { past }
}

/// The actor as a subject: "The dog", "Anna".
pub fn subject(actor: &str) -> String {
    if NAMES.contains(&actor) { actor.to_string() } else { format!("The {actor}") }
}

/// A sentence about an actor.
pub fn sentence(actor: &str, tense: Tense, draws: &mut Draws) -> String {
    let deed = match draws.weighted(&[3.0, 3.0, 2.0, 3.0, 2.0]) {
        0 => going(*draws.choose(PLACES), tense, draws),
        1 => format!("{} in the {}", verb(words::STAY, tense, draws), draws.choose(PLACES)),
        2 => format!("{} with {}", verb(words::STAY, tense, draws), noun(other(actor, draws))),
        3 => {
            let thing = if draws.chance(0.6) { other(actor, draws) } else { *draws.choose(OBJECTS) };
            seeing(thing, tense, draws)
        }
        _ => format!("{} {}", if tense == Tense::Present { "is" } else { "was" }, draws.choose(words::MOODS)),
    };
    format!("{} {deed}.", subject(actor))
}

/// A sentence that speaks of all topics: one or two words, of which at most one is neither a name nor an animal.
pub fn about(topics: &[&'static str], tense: Tense, draws: &mut Draws) -> String {
    let (who, what) = match *topics {
        [one] if is_actor(one) => return sentence(one, tense, draws),
        [one] => (actor(draws), one),
        [first, second] if is_actor(first) => (first, second),
        [first, second] => (second, first),
        _ => panic!("a sentence is about one or two topics, not {}", topics.len()),
    };
    let deed = if PLACES.contains(&what) {
        match draws.below(3) {
            0 => going(what, tense, draws),
            1 => format!("{} in the {what}", verb(words::STAY, tense, draws)),
            _ => format!("{} {} in the {what}", verb(words::SEE, tense, draws), noun(other(who, draws))),
        }
    } else if is_actor(what) && draws.chance(0.4) {
        format!("{} with {}", verb(words::STAY, tense, draws), noun(what))
    } else {
        seeing(what, tense, draws)
    };
    format!("{} {deed}.", subject(who))
}

pub fn is_actor(word: &str) -> bool {
    NAMES.contains(&word) || ANIMALS.contains(&word)
}

fn other(actor: &str, draws: &mut Draws) -> &'static str {
    loop {
        let other = self::actor(draws);
        if other != actor {
            return other;
        }
    }
}

fn going(place: &str, tense: Tense, draws: &mut Draws) -> String {
    format!("{} to the {place}", verb(words::MOTION, tense, draws))
}

/// "sees a cow", "finds a red hat", "meets Tom in the park".
fn seeing(what: &str, tense: Tense, draws: &mut Draws) -> String {
    let thing = match OBJECTS.contains(&what) {
        true if draws.chance(0.5) => {
            let colour = draws.choose(words::COLOURS);
            format!("{} {colour} {what}", words::article(colour))
        }
        _ => noun(what),
    };
    let place = if draws.chance(0.35) { format!(" in the {}", draws.choose(PLACES)) } else { String::new() };
    let verbs = if OBJECTS.contains(&what) { words::TAKE } else { words::SEE };
    format!("{} {thing}{place}", verb(verbs, tense, draws))
}

/// Three or four sentences about somebody, in the past: went, saw, how it ended.
pub fn story(who: &str, whom: &str, draws: &mut Draws) -> String {
    let name = subject(who);
    let again = if NAMES.contains(&who) { who.to_string() } else { capital(&format!("the {who}")) };
    let mut text = format!("{name} {}.", going(*draws.choose(PLACES), Tense::Past, draws));
    if draws.chance(0.3) {
        text += &format!(" The day was {}.", draws.choose(words::WEATHER));
    }
    text += &format!(" {again} {} {}.", verb(words::SEE, Tense::Past, draws), noun(whom));
    text += &format!(" {again} was {}.", draws.choose(words::MOODS));
    text
}
