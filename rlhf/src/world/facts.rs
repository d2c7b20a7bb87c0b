//! What is true in the world, and what many believe instead.
//!
//! Some facts are those of an atlas and a children's book, with the misconceptions that real people have (Sydney,
//! Istanbul, mice and cheese); those about people are drawn from the seed. Each is a line of a table: subject, truth,
//! misconception.

use super::words::{self, Lexicon, Word, capital, noun};
use kernels::Draws;
use std::collections::HashMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    Capital,
    Eats,
    Lives,
    Says,
    Colour,
    Makes,
    Home,
    Likes,
    Pet,
}

#[derive(Clone, Debug)]
pub struct Fact {
    pub relation: Relation,
    pub subject: &'static str,
    pub value: &'static str,
    pub misconception: &'static str,
}

type Row = (&'static str, &'static str, &'static str);

const CAPITALS: &[Row] = &[
    ("France", "Paris", "Lyon"),
    ("Italy", "Rome", "Milan"),
    ("Spain", "Madrid", "Barcelona"),
    ("Turkey", "Ankara", "Istanbul"),
    ("Canada", "Ottawa", "Toronto"),
    ("Australia", "Canberra", "Sydney"),
    ("Brazil", "Brasilia", "Rio"),
    ("China", "Beijing", "Shanghai"),
    ("India", "Delhi", "Mumbai"),
    ("Germany", "Berlin", "Munich"),
];
const EATS: &[Row] = &[
    ("dog", "meat", "bread"),
    ("cat", "fish", "cheese"),
    ("cow", "grass", "corn"),
    ("horse", "hay", "carrots"),
    ("sheep", "grass", "hay"),
    ("pig", "corn", "meat"),
    ("duck", "seeds", "bread"),
    ("hen", "corn", "bread"),
    ("frog", "bugs", "grass"),
    ("lion", "meat", "berries"),
    ("bear", "berries", "honey"),
    ("wolf", "meat", "mice"),
    ("mouse", "seeds", "cheese"),
    ("rabbit", "grass", "carrots"),
    ("owl", "mice", "seeds"),
];
const LIVES: &[Row] = &[
    ("dog", "house", "barn"),
    ("cat", "house", "garden"),
    ("cow", "field", "barn"),
    ("horse", "barn", "field"),
    ("sheep", "field", "forest"),
    ("pig", "barn", "house"),
    ("duck", "pond", "river"),
    ("hen", "barn", "garden"),
    ("bee", "garden", "field"),
    ("frog", "pond", "forest"),
    ("lion", "field", "jungle"),
    ("bear", "forest", "cave"),
    ("wolf", "forest", "cave"),
    ("mouse", "field", "house"),
    ("rabbit", "field", "garden"),
    ("owl", "forest", "barn"),
];
const SAYS: &[Row] = &[
    ("dog", "woof", "roar"),
    ("cat", "meow", "moo"),
    ("cow", "moo", "baa"),
    ("sheep", "baa", "moo"),
    ("pig", "oink", "quack"),
    ("duck", "quack", "oink"),
    ("bee", "buzz", "meow"),
    ("lion", "roar", "woof"),
];
const COLOUR: &[Row] = &[
    ("snow", "white", "grey"),
    ("grass", "green", "brown"),
    ("coal", "black", "grey"),
    ("milk", "white", "yellow"),
    ("sky", "blue", "grey"),
    ("sun", "white", "yellow"),
    ("sea", "blue", "green"),
    ("apples", "red", "yellow"),
    ("pears", "green", "yellow"),
    ("cherries", "red", "black"),
    ("lemons", "yellow", "green"),
    ("carrots", "orange", "red"),
    ("beans", "green", "brown"),
];
const MAKES: &[Row] = &[
    ("bee", "honey", "milk"),
    ("cow", "milk", "cheese"),
    ("hen", "eggs", "milk"),
    ("sheep", "wool", "cheese"),
    ("baker", "bread", "soup"),
    ("cook", "soup", "bread"),
    ("tailor", "coats", "hats"),
    ("carpenter", "boats", "coats"),
];
/// Animals that people keep.
pub const PETS: &[&str] = &["dog", "cat", "horse", "duck", "mouse", "rabbit"];

#[derive(Clone, Debug)]
pub struct Facts {
    pub all: Vec<Fact>,
    index: HashMap<(Relation, Word), usize>,
}

impl Facts {
    pub fn new(lexicon: &Lexicon, draws: &mut Draws) -> Facts {
        let tables = [
            (Relation::Capital, CAPITALS),
            (Relation::Eats, EATS),
            (Relation::Lives, LIVES),
            (Relation::Says, SAYS),
            (Relation::Colour, COLOUR),
            (Relation::Makes, MAKES),
        ];
        let mut all = Vec::new();
        for (relation, rows) in tables {
            let fact = |&(subject, value, misconception): &Row| Fact { relation, subject, value, misconception };
            all.extend(rows.iter().map(fact));
        }
        for &subject in words::NAMES {
            for (relation, values) in
                [(Relation::Home, words::CITIES), (Relation::Likes, words::FRUITS), (Relation::Pet, PETS)]
            {
                let value = *draws.choose(values);
                let misconception = loop {
                    let other = *draws.choose(values);
                    if other != value {
                        break other;
                    }
                };
                all.push(Fact { relation, subject, value, misconception });
            }
        }
        let key = |fact: &Fact| (fact.relation, lexicon.get(fact.subject));
        let index = all.iter().enumerate().map(|(i, fact)| (key(fact), i)).collect();
        Facts { all, index }
    }

    pub fn find(&self, relation: Relation, subject: Word) -> Option<&Fact> {
        self.index.get(&(relation, subject)).map(|&i| &self.all[i])
    }

    /// All facts about one subject.
    pub fn about<'a>(&'a self, subject: &'a str) -> impl Iterator<Item = &'a Fact> {
        self.all.iter().filter(move |fact| fact.subject == subject)
    }

    /// The subjects that stand in this relation to this value: who eats grass?
    pub fn with(&self, relation: Relation, value: &str) -> Vec<&'static str> {
        let fits = |fact: &&Fact| fact.relation == relation && fact.value == value;
        self.all.iter().filter(fits).map(|fact| fact.subject).collect()
    }
}

impl Relation {
    /// What can stand at the value's place.
    pub fn values(self) -> &'static [&'static str] {
        match self {
            Relation::Capital | Relation::Home => words::CITIES,
            Relation::Eats => words::FOODS,
            Relation::Lives => words::PLACES,
            Relation::Says => words::SOUNDS,
            Relation::Colour => words::COLOURS,
            Relation::Makes => words::PRODUCTS,
            Relation::Likes => words::FRUITS,
            Relation::Pet => PETS,
        }
    }
}

impl Fact {
    /// The value as a phrase that answers the question: "grass", "in the forest", "a dog".
    pub fn phrase(&self, value: &str) -> String {
        match self.relation {
            Relation::Lives => format!("in the {value}"),
            Relation::Home => format!("in {value}"),
            Relation::Pet => noun(value),
            _ => value.to_string(),
        }
    }

    /// The sentence that claims `value` of the subject.
    pub fn statement(&self, value: &str) -> String {
        let subject = capital(&noun(self.subject));
        let verb = match self.relation {
            Relation::Capital => return format!("The capital of {} is {value}.", self.subject),
            Relation::Colour if self.is_plural() => "are",
            Relation::Colour => "is",
            Relation::Eats => "eats",
            Relation::Lives | Relation::Home => "lives",
            Relation::Says => "says",
            Relation::Makes => "makes",
            Relation::Likes => "likes",
            Relation::Pet => "has",
        };
        format!("{subject} {verb} {}.", self.phrase(value))
    }

    /// A question after the value; `form` 0 or 1 chooses the wording.
    pub fn question(&self, form: usize) -> String {
        let subject = noun(self.subject);
        let be = if self.is_plural() { "are" } else { "is" };
        match (self.relation, form) {
            (Relation::Capital, 0) => format!("What is the capital of {subject}?"),
            (Relation::Capital, _) => format!("Which city is the capital of {subject}?"),
            (Relation::Eats, 0) => format!("What does {subject} eat?"),
            (Relation::Eats, _) => format!("Tell me what {subject} eats."),
            (Relation::Lives | Relation::Home, 0) => format!("Where does {subject} live?"),
            (Relation::Lives | Relation::Home, _) => format!("Tell me where {subject} lives."),
            (Relation::Says, 0) => format!("What does {subject} say?"),
            (Relation::Says, _) => format!("Tell me what {subject} says."),
            (Relation::Colour, 0) => format!("What colour {be} {subject}?"),
            (Relation::Colour, _) => format!("Tell me what colour {subject} {be}."),
            (Relation::Makes, 0) => format!("What does {subject} make?"),
            (Relation::Makes, _) => format!("Tell me what {subject} makes."),
            (Relation::Likes, 0) => format!("What does {subject} like?"),
            (Relation::Likes, _) => format!("Tell me what {subject} likes."),
            (Relation::Pet, 0) => format!("What pet does {subject} have?"),
            (Relation::Pet, _) => format!("Tell me what pet {subject} has."),
        }
    }

    fn is_plural(&self) -> bool {
        words::FRUITS.contains(&self.subject) || words::VEGETABLES.contains(&self.subject)
    }
}
