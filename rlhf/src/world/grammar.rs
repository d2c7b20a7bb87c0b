//! The sentences of the world: the small grammar that says whether a sentence is one, and what it claims.
//!
//! ```text
//! sentence  = [today | yesterday | then] ( "the capital of" COUNTRY "is" CITY | subject predicate )
//! subject   = [a | an | the] NOUN
//! predicate = claim | deed { "and" deed }
//! claim     = eats FOOD | lives in (the PLACE | CITY) | says SOUND | is/are COLOUR | makes PRODUCT | likes FRUIT | has a PET
//! deed      = MOTION to the PLACE | STAY (in the PLACE | with ACTOR) | SEE thing [in the PLACE] | is/was MOOD
//! ```

use super::closed::World;
use super::facts::{Fact, Relation};
use super::words::{Word, class};

/// What a well-formed sentence says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim {
    /// Something happens; stories are neither true nor false.
    Story,
    /// The value is, or is not, what the fact tables hold.
    Fact { relation: Relation, subject: Word, holds: bool },
}

/// The words not yet read.
type Rest<'a> = &'a [Word];

impl World {
    /// Parses one sentence (without its full stop). `None`: the world has no such sentence.
    pub fn claim(&self, sentence: &[Word]) -> Option<Claim> {
        let t = &self.terms;
        let s = match sentence {
            [first, rest @ ..] if [t.today, t.yesterday, t.then].contains(first) => rest,
            all => all,
        };
        if let [the, capital, of, country, is, city] = *s
            && [the, capital, of, is] == [t.the, t.capital, t.of, t.is]
        {
            return self.fact(Relation::Capital, country, city);
        }
        let (subject, rest) = self.noun_phrase(s)?;
        if let Some((relation, value)) = self.relation(rest) {
            return self.fact(relation, subject, value);
        }
        // The day may be cold; only actors do things.
        if let [verb, how] = *rest
            && subject == t.day
        {
            return ([t.is, t.was].contains(&verb) && self.is(how, class::WEATHER)).then_some(Claim::Story);
        }
        self.is(subject, class::ACTOR).then_some(())?;
        let mut rest = self.deed(rest)?;
        while let [and, more @ ..] = rest {
            rest = if *and == t.and { self.deed(more)? } else { return None };
        }
        Some(Claim::Story)
    }

    /// A claim about a subject that the tables know, with a value of the right kind.
    fn fact(&self, relation: Relation, subject: Word, value: Word) -> Option<Claim> {
        let fact: &Fact = self.facts.find(relation, subject)?;
        let known = relation.values().iter().any(|v| self.lexicon.get(v) == value);
        known.then(|| Claim::Fact { relation, subject, holds: self.lexicon.get(fact.value) == value })
    }

    /// [article] noun → (noun, rest). A colour may stand before an object.
    fn noun_phrase<'a>(&self, s: Rest<'a>) -> Option<(Word, Rest<'a>)> {
        let t = &self.terms;
        match *s {
            [article, colour, thing, ref rest @ ..]
                if self.is_article(article) && self.is(colour, class::COLOUR) && self.is(thing, class::OBJECT) =>
            {
                Some((thing, rest))
            }
            [article, thing, ref rest @ ..]
                if self.is_article(article)
                    && (thing == t.day
                        || self.is(thing, class::ANIMAL | class::OBJECT | class::MAKER | class::STUFF)) =>
            {
                Some((thing, rest))
            }
            [name, ref rest @ ..] if self.is(name, class::NAME | class::STUFF | class::FRUIT | class::VEGETABLE) => {
                Some((name, rest))
            }
            _ => None,
        }
    }

    /// The whole predicate as a relation and its value.
    fn relation(&self, predicate: &[Word]) -> Option<(Relation, Word)> {
        let t = &self.terms;
        match *predicate {
            [verb, value] if verb == t.eats && self.is(value, class::FOOD) => Some((Relation::Eats, value)),
            [verb, value] if verb == t.says && self.is(value, class::SOUND) => Some((Relation::Says, value)),
            [verb, value] if verb == t.makes && self.is(value, class::PRODUCT) => Some((Relation::Makes, value)),
            [verb, value] if verb == t.likes && self.is(value, class::FRUIT) => Some((Relation::Likes, value)),
            [verb, value] if [t.is, t.are].contains(&verb) && self.is(value, class::COLOUR) => {
                Some((Relation::Colour, value))
            }
            [verb, in_, city] if [verb, in_] == [t.lives, t.in_] && self.is(city, class::CITY) => {
                Some((Relation::Home, city))
            }
            [verb, in_, the, place] if [verb, in_, the] == [t.lives, t.in_, t.the] && self.is(place, class::PLACE) => {
                Some((Relation::Lives, place))
            }
            [verb, article, pet] if verb == t.has && self.is_article(article) && self.is(pet, class::ANIMAL) => {
                Some((Relation::Pet, pet))
            }
            _ => None,
        }
    }

    /// Reads one deed; returns what follows it.
    fn deed<'a>(&self, s: Rest<'a>) -> Option<Rest<'a>> {
        let t = &self.terms;
        let [verb, rest @ ..] = s else { return None };
        if self.is(*verb, class::MOTION) {
            return match *rest {
                [to, the, place, ref rest @ ..] if [to, the] == [t.to, t.the] && self.is(place, class::PLACE) => {
                    Some(rest)
                }
                _ => None,
            };
        }
        if self.is(*verb, class::STAY) {
            return match rest {
                [with, rest @ ..] if *with == t.with => {
                    let (other, rest) = self.noun_phrase(rest)?;
                    self.is(other, class::ACTOR).then_some(rest)
                }
                _ => self.in_place(rest),
            };
        }
        if self.is(*verb, class::SEE | class::NEWS) {
            let (other, rest) = self.noun_phrase(rest)?;
            self.is(other, class::ACTOR | class::OBJECT).then_some(())?;
            return Some(self.in_place(rest).unwrap_or(rest));
        }
        match *rest {
            [mood, ref rest @ ..] if [t.is, t.was].contains(verb) && self.is(mood, class::MOOD) => Some(rest),
            _ => None,
        }
    }

    fn in_place<'a>(&self, s: Rest<'a>) -> Option<Rest<'a>> {
        match *s {
            [in_, the, place, ref rest @ ..]
                if [in_, the] == [self.terms.in_, self.terms.the] && self.is(place, class::PLACE) =>
            {
                Some(rest)
            }
            _ => None,
        }
    }

    fn is(&self, word: Word, class: u32) -> bool {
        self.lexicon.is(word, class)
    }

    fn is_article(&self, word: Word) -> bool {
        [self.terms.a, self.terms.an, self.terms.the].contains(&word)
    }
}
