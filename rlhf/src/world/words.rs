//! Every word of the world, by class, and the lexicon that turns text into word numbers.
//!
//! The world is closed: what is not in these tables is junk to the judge. A word may have several classes
//! (honey is a food and a product).

use std::collections::HashMap;

/// Index of a word in the [`Lexicon`]; [`UNKNOWN`] for a word the world does not have.
pub type Word = u16;
pub const UNKNOWN: Word = 0;

pub const ANIMALS: &[&str] = &[
    "dog", "cat", "cow", "horse", "sheep", "pig", "duck", "hen", "bee", "frog", "lion", "bear", "wolf", "mouse",
    "rabbit", "owl",
];
pub const NAMES: &[&str] = &["Anna", "Tom", "Mia", "Ben", "Eva", "Sam", "Lucy", "Jack", "Emma", "Max", "Nina", "Leo"];
pub const PLACES: &[&str] =
    &["house", "barn", "field", "pond", "garden", "forest", "cave", "river", "park", "jungle", "market", "school"];
pub const COUNTRIES: &[&str] =
    &["France", "Italy", "Spain", "Turkey", "Canada", "Australia", "Brazil", "China", "India", "Germany"];
pub const CITIES: &[&str] = &[
    "Paris",
    "Lyon",
    "Rome",
    "Milan",
    "Madrid",
    "Barcelona",
    "Ankara",
    "Istanbul",
    "Ottawa",
    "Toronto",
    "Canberra",
    "Sydney",
    "Brasilia",
    "Rio",
    "Beijing",
    "Shanghai",
    "Delhi",
    "Mumbai",
    "Berlin",
    "Munich",
];
pub const FOODS: &[&str] = &[
    "meat", "fish", "grass", "hay", "corn", "seeds", "bugs", "berries", "bread", "cheese", "honey", "carrots", "mice",
];
pub const FRUITS: &[&str] = &["apples", "pears", "plums", "cherries", "lemons", "bananas", "grapes", "berries"];
pub const VEGETABLES: &[&str] = &["carrots", "onions", "beans", "peas", "corn"];
pub const COLOURS: &[&str] = &["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "grey"];
pub const OBJECTS: &[&str] = &["hat", "bag", "coat", "book", "ball", "cup", "box", "ring", "key", "boat"];
pub const SOUNDS: &[&str] = &["woof", "meow", "moo", "baa", "oink", "quack", "buzz", "roar"];
pub const PRODUCTS: &[&str] = &["honey", "milk", "eggs", "wool", "bread", "soup", "coats", "hats", "cheese", "boats"];
pub const MAKERS: &[&str] = &["baker", "cook", "tailor", "carpenter"];
/// Things without an article, and things with "the"; they have colours.
pub const STUFF: &[&str] = &["snow", "grass", "coal", "milk", "honey", "sky", "sun", "sea"];
pub const MOODS: &[&str] = &["happy", "sad", "tired", "hungry"];
pub const WEATHER: &[&str] = &["cold", "warm", "dark", "long"];
pub const DAYS: &[&str] = &["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
pub const NUMBERS: &[&str] = &["one", "two", "three", "four", "five", "six", "seven", "eight"];
/// Words that nobody polite says. They occur in nothing else.
pub const RUDE: &[&str] = &["fool", "stupid", "silly", "boring", "yourself", "care", "lazy"];

/// Verbs of stories: (present, past).
pub const MOTION: &[(&str, &str)] = &[("runs", "ran"), ("walks", "walked"), ("goes", "went")];
pub const STAY: &[(&str, &str)] = &[("sleeps", "slept"), ("plays", "played"), ("sits", "sat"), ("waits", "waited")];
pub const SEE: &[(&str, &str)] = &[("sees", "saw"), ("finds", "found"), ("meets", "met"), ("helps", "helped")];
pub const TAKE: &[(&str, &str)] = &[("sees", "saw"), ("finds", "found"), ("takes", "took"), ("buys", "bought")];
/// What may happen to a thing, and whether it makes glad.
pub const GOOD_NEWS: &[&str] = &["found", "got", "won"];
pub const BAD_NEWS: &[&str] = &["lost", "broke", "missed"];

/// Everything else that is ever said.
const PLAIN: &str = "a about after afternoon again am an and animal animals answer are article at before bought buy can \
    capital cities city colour colours comes countries country course day days do does eat eats extract fact family \
    find food for friend from full fruit fruits give given gladly glad go going good goodbye has have he hello help helps here \
    home hope how i in into is it know like likes list live lives made make makes me morning my name names night not \
    now of ok on or past pet place places please polite put question questions repeat replace rewrite said say says sentence \
    sentences short shorter should so something sorry start story sum sure tell text thank that the them then these there \
    thing things this times to today true up use vegetable vegetables want was we well were what when where which who \
    why with word words write yesterday you your";

/// Classes of a word, as bits.
pub mod class {
    pub const ANIMAL: u32 = 1 << 0;
    pub const NAME: u32 = 1 << 1;
    pub const PLACE: u32 = 1 << 2;
    pub const COUNTRY: u32 = 1 << 3;
    pub const CITY: u32 = 1 << 4;
    pub const FOOD: u32 = 1 << 5;
    pub const FRUIT: u32 = 1 << 6;
    pub const VEGETABLE: u32 = 1 << 7;
    pub const COLOUR: u32 = 1 << 8;
    pub const OBJECT: u32 = 1 << 9;
    pub const SOUND: u32 = 1 << 10;
    pub const PRODUCT: u32 = 1 << 11;
    pub const MAKER: u32 = 1 << 12;
    pub const STUFF: u32 = 1 << 13;
    pub const MOOD: u32 = 1 << 14;
    pub const WEATHER: u32 = 1 << 15;
    pub const DAY: u32 = 1 << 16;
    pub const NUMBER: u32 = 1 << 17;
    pub const RUDE: u32 = 1 << 18;
    pub const MOTION: u32 = 1 << 19;
    pub const STAY: u32 = 1 << 20;
    pub const SEE: u32 = 1 << 21;
    pub const NEWS: u32 = 1 << 22;
    /// May do things in a story.
    pub const ACTOR: u32 = ANIMAL | NAME | MAKER;
    /// Words that carry content: an answer drawn from a passage may only use the passage's.
    pub const CONTENT: u32 = ((1 << 13) - 1) | STUFF | MOOD | DAY;
}

/// All words, numbered from 1; number 0 is [`UNKNOWN`].
#[derive(Clone, Debug)]
pub struct Lexicon {
    words: Vec<&'static str>,
    classes: Vec<u32>,
    index: HashMap<String, Word>,
}

impl Lexicon {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Lexicon {
        let mut lexicon = Lexicon { words: vec![""], classes: vec![0], index: HashMap::new() };
        let tables = [
            ANIMALS, NAMES, PLACES, COUNTRIES, CITIES, FOODS, FRUITS, VEGETABLES, COLOURS, OBJECTS, SOUNDS, PRODUCTS,
            MAKERS, STUFF, MOODS, WEATHER, DAYS, NUMBERS, RUDE,
        ];
        for (bit, table) in tables.iter().enumerate() {
            table.iter().for_each(|word| lexicon.add(word, 1 << bit));
        }
        for (table, class) in [(MOTION, class::MOTION), (STAY, class::STAY), (SEE, class::SEE), (TAKE, class::SEE)] {
            for (present, past) in table {
                lexicon.add(present, class);
                lexicon.add(past, class);
            }
        }
        GOOD_NEWS.iter().chain(BAD_NEWS).for_each(|word| lexicon.add(word, class::NEWS));
        PLAIN.split_whitespace().for_each(|word| lexicon.add(word, 0));
        lexicon
    }

    fn add(&mut self, word: &'static str, class: u32) {
        let next = self.words.len() as Word;
        let at = *self.index.entry(word.to_lowercase()).or_insert(next);
        if at == next {
            self.words.push(word);
            self.classes.push(0);
        }
        self.classes[at as usize] |= class;
    }

    /// Number of a word, whatever its case; [`UNKNOWN`] when the world does not have it.
    pub fn get(&self, word: &str) -> Word {
        if word.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.index.get(&word.to_ascii_lowercase()).copied().unwrap_or(UNKNOWN);
        }
        self.index.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// Numbers of all words of a text; punctuation is left out.
    pub fn read(&self, text: &str) -> Vec<Word> {
        words_of(text).map(|word| self.get(word)).collect()
    }

    pub fn word(&self, word: Word) -> &'static str {
        self.words[word as usize]
    }

    pub fn is(&self, word: Word, class: u32) -> bool {
        self.classes[word as usize] & class != 0
    }

    /// The class bits of a word; 0 for plain words.
    pub fn classes(&self, word: Word) -> u32 {
        self.classes[word as usize]
    }

    /// Number of word types.
    pub fn len(&self) -> usize {
        self.words.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The letters-only pieces of a text.
pub fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty())
}

/// A word with the article it takes: "a cow", "an owl", "the river", "snow", "Anna", "pears".
pub fn noun(word: &str) -> String {
    let bare = |table: &[&str]| table.contains(&word);
    if ["sky", "sun", "sea"].contains(&word) || bare(PLACES) {
        format!("the {word}")
    } else if bare(ANIMALS) || bare(OBJECTS) || bare(MAKERS) {
        format!("{} {word}", article(word))
    } else {
        word.to_string()
    }
}

/// "an" before a vowel, else "a".
pub fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The same text with a capital at its start.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// "a, b and c".
pub fn join(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
