//! Small tests on the pretraining domain: what a model knew before it was tuned, and whether it still does.
//!
//! Each item is a beginning and some ways to go on; a model passes it when the right one has the highest mean
//! log-probability per token.

use super::closed::World;
use super::story::{self, Tense};
use super::words::{self, ANIMALS, NAMES, OBJECTS, PLACES, noun};
use kernels::Draws;

#[derive(Clone, Debug, PartialEq)]
pub struct Skill {
    /// One of [`TASKS`].
    pub task: &'static str,
    pub prefix: String,
    /// Ways to go on, each with its leading space.
    pub choices: Vec<String>,
    /// Index of the right one.
    pub answer: usize,
}

/// The tests, with a sentence each.
pub const TASKS: [(&str, &str); 5] = [
    ("facts", "which value is true: the truth, its misconception, or two others"),
    ("lists", "which word goes on with a list: one of the same kind, or others"),
    ("stories", "which sentence goes on with a story: the one about its person, or strangers"),
    ("tense", "which verb goes on with a story in the past"),
    ("dialogues", "which reply fits the news"),
];

impl World {
    /// `n` items of every test.
    pub fn skills(&self, n: usize) -> Vec<Skill> {
        let rng = self.rng.stream("skills");
        let makers: [fn(&World, &mut Draws) -> Skill; 5] = [fact, list, tale, tense, dialogue];
        let items = |(t, make): (usize, fn(&World, &mut Draws) -> Skill)| {
            (0..n).map(move |i| make(self, &mut rng.fold(t as u64).fold(i as u64).draws())).collect::<Vec<_>>()
        };
        makers.into_iter().enumerate().flat_map(items).collect()
    }
}

/// Shuffles the choices; the right one is given first.
fn skill(task: usize, prefix: String, choices: Vec<String>, draws: &mut Draws) -> Skill {
    let right = choices[0].clone();
    let mut choices = choices;
    draws.shuffle(&mut choices);
    let answer = choices.iter().position(|choice| *choice == right).expect("shuffling loses nothing");
    Skill { task: TASKS[task].0, prefix, choices, answer }
}

fn different(table: &[&'static str], taken: &[&str], draws: &mut Draws) -> &'static str {
    loop {
        let word = *draws.choose(table);
        if !taken.contains(&word) {
            return word;
        }
    }
}

fn fact(world: &World, draws: &mut Draws) -> Skill {
    let fact = draws.choose(&world.facts.all);
    let full = fact.statement(fact.value);
    let cut = full.len() - fact.phrase(fact.value).len() - 2;
    let third = different(fact.relation.values(), &[fact.value, fact.misconception], draws);
    let fourth = different(fact.relation.values(), &[fact.value, fact.misconception, third], draws);
    let choices = [fact.value, fact.misconception, third, fourth].map(|value| format!(" {}.", fact.phrase(value)));
    skill(0, full[..cut].to_string(), choices.to_vec(), draws)
}

fn list(_: &World, draws: &mut Draws) -> Skill {
    let tables: [(&str, &[&'static str]); 5] = [
        ("Animals", ANIMALS),
        ("Fruits", words::FRUITS),
        ("Colours", words::COLOURS),
        ("Cities", words::CITIES),
        ("Places", PLACES),
    ];
    let at = draws.below(tables.len());
    let (kind, table) = tables[at];
    let mut members = table.to_vec();
    draws.shuffle(&mut members);
    let begun: Vec<String> = members[..2].iter().map(|word| noun(word)).collect();
    let mut choices = vec![format!(" {},", noun(members[2]))];
    for step in 1..4 {
        choices.push(format!(" {},", noun(*draws.choose(tables[(at + step) % tables.len()].1))));
    }
    skill(1, format!("{kind}: {},", begun.join(", ")), choices, draws)
}

fn tale(_: &World, draws: &mut Draws) -> Skill {
    let who = *draws.choose(NAMES);
    let story = story::story(who, *draws.choose(ANIMALS), draws);
    let cut = story.rfind(" was ").and_then(|at| story[..at].rfind(' ')).expect("a story ends with a mood");
    let end = story[cut..].to_string();
    let mut choices = vec![end.clone()];
    let mut taken = vec![who];
    for _ in 0..3 {
        let stranger = different(NAMES, &taken, draws);
        taken.push(stranger);
        choices.push(end.replace(who, stranger));
    }
    skill(2, story[..cut].to_string(), choices, draws)
}

fn tense(_: &World, draws: &mut Draws) -> Skill {
    let who = *draws.choose(NAMES);
    let first = story::sentence(who, Tense::Past, draws);
    let mut again = draws.clone();
    let then = story::sentence(who, Tense::Past, draws);
    let now = story::sentence(who, Tense::Present, &mut again);
    let end = |text: &str| text[who.len()..].to_string();
    skill(3, format!("Yesterday {first} {who}"), vec![end(&then), end(&now)], draws)
}

fn dialogue(_: &World, draws: &mut Draws) -> Skill {
    let one = *draws.choose(NAMES);
    let two = different(NAMES, &[one], draws);
    let glad = draws.chance(0.5);
    let news = draws.choose(if glad { words::GOOD_NEWS } else { words::BAD_NEWS });
    let (mood, right, wrong) = if glad { ("happy", "glad", "sorry") } else { ("sad", "sorry", "glad") };
    let prefix = format!("{one}: I {news} the {} and I am {mood}.\n{two}: I am", draws.choose(OBJECTS));
    skill(4, prefix, vec![format!(" {right}, {one}."), format!(" {wrong}, {one}.")], draws)
}
