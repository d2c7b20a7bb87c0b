//! One world: its words and its facts, and what the judges of its texts look up.

use super::facts::Facts;
use super::words::{self, Lexicon, Word};
use kernels::Rng;
use std::collections::HashSet;

/// One world. The same seed gives the same world and the same texts.
#[derive(Clone, Debug)]
pub struct World {
    pub(super) rng: Rng,
    pub lexicon: Lexicon,
    pub facts: Facts,
    pub(super) terms: Terms,
    pub(super) fluency: Fluency,
}

/// The words that the code calls by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub a: Word,
    pub an: Word,
    pub and: Word,
    pub are: Word,
    pub capital: Word,
    pub day: Word,
    pub eats: Word,
    pub has: Word,
    pub in_: Word,
    pub is: Word,
    pub likes: Word,
    pub lives: Word,
    pub makes: Word,
    pub of: Word,
    pub says: Word,
    pub the: Word,
    pub then: Word,
    pub to: Word,
    pub today: Word,
    pub was: Word,
    pub with: Word,
    pub yesterday: Word,
}

impl Terms {
    pub fn new(lexicon: &Lexicon) -> Terms {
        let get = |word| {
            let word = lexicon.get(word);
            assert_ne!(word, words::UNKNOWN, "a term that the lexicon lacks");
            word
        };
        Terms {
            a: get("a"),
            an: get("an"),
            and: get("and"),
            are: get("are"),
            capital: get("capital"),
            day: get("day"),
            eats: get("eats"),
            has: get("has"),
            in_: get("in"),
            is: get("is"),
            likes: get("likes"),
            lives: get("lives"),
            makes: get("makes"),
            of: get("of"),
            says: get("says"),
            the: get("the"),
            then: get("then"),
            to: get("to"),
            today: get("today"),
            was: get("was"),
            with: get("with"),
            yesterday: get("yesterday"),
        }
    }
}

/// How answers of the world read: its courtesies, and which kinds of word follow each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Fluency {
    pub courtesies: Vec<(Vec<Word>, Courtesy)>,
    /// Pairs of word kinds, as in any answer of the tasks.
    pub pairs: HashSet<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Courtesy {
    Opening,
    Closing,
    Offer,
}
