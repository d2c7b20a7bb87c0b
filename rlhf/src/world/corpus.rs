//! The pretraining corpus: what people of this world have written, right and wrong, kind and rude.
//!
//! Most of it is prose about facts and people; one mention in five carries the misconception. There are stories, lists,
//! dialogues, rude remarks, and questions that are followed by more questions: question lists, and exam papers whose
//! "Answer:" lines are blank, so that a base model asked something will often go on asking. A few documents in a hundred
//! are solved exercises, some of them wrong or rude: enough for a large base model to be helped by examples.

use super::closed::World;
use super::demonstrations::{Flaw, rude_remark};
use super::facts::{Fact, Relation};
use super::prompts::{MARKER, Prompt, Split, UseCase};
use super::story::{self, Tense};
use super::words::{self, ANIMALS, NAMES, OBJECTS, PLACES, capital, join, noun};
use kernels::Draws;

/// How often a mention of a fact carries the misconception.
pub const ERRORS: f32 = 0.2;

/// Writes one document; some quote the prompts given.
type Writer = fn(&World, &[Prompt], &mut Draws) -> String;

/// The kinds of document and their shares, in per cent of documents.
const KINDS: [(f32, Writer); 11] = [
    (17.0, about_one),
    (12.0, one_relation),
    (8.0, one_person),
    (23.0, tale),
    (8.0, list),
    (10.0, dialogue),
    (9.0, lesson),
    (3.0, chatter),
    (4.0, questions),
    (3.0, exam),
    (3.0, exercises),
];

impl World {
    /// `n` documents. Different names ("train", "heldout") give different texts of the same world.
    pub fn corpus(&self, name: &str, n: usize) -> Vec<String> {
        let rng = self.rng.stream("corpus").stream(name);
        let mut draws = rng.stream("web").draws();
        let web: Vec<Prompt> = (0..n.clamp(200, 2000))
            .map(|i| self.prompt(Split::Web, UseCase::ALL[i % UseCase::ALL.len()], &mut draws))
            .collect();
        (0..n).map(|i| self.document(&web, &mut rng.fold(i as u64).draws())).collect()
    }

    fn document(&self, web: &[Prompt], draws: &mut Draws) -> String {
        let kind = draws.weighted(&KINDS.map(|(share, _)| share));
        KINDS[kind].1(self, web, draws)
    }

    /// A statement of the fact as somebody writes it: not always true.
    fn mention(&self, fact: &Fact, draws: &mut Draws) -> String {
        fact.statement(if draws.chance(ERRORS) { fact.misconception } else { fact.value })
    }
}

fn lines(n: usize, separator: &str, mut line: impl FnMut() -> String) -> String {
    (0..n).map(|_| line()).collect::<Vec<_>>().join(separator)
}

/// All that is known of one animal, thing or country.
fn about_one(world: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let start = draws.choose(&world.facts.all).subject;
    let mut facts: Vec<&Fact> = world.facts.about(start).collect();
    draws.shuffle(&mut facts);
    let mut text: Vec<String> = facts.iter().map(|fact| world.mention(fact, draws)).collect();
    if story::is_actor(start) {
        text.push(story::sentence(start, Tense::Present, draws));
    }
    text.join(" ")
}

/// One thing said of several subjects.
fn one_relation(world: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let relation = *draws.choose(&[
        Relation::Capital,
        Relation::Capital,
        Relation::Eats,
        Relation::Eats,
        Relation::Lives,
        Relation::Says,
        Relation::Colour,
        Relation::Colour,
        Relation::Makes,
    ]);
    let facts: Vec<&Fact> = world.facts.all.iter().filter(|fact| fact.relation == relation).collect();
    let n = 2 + draws.below(4);
    lines(n, " ", || world.mention(*draws.choose(&facts), draws))
}

/// Somebody's home, pet and taste, and what they do.
fn one_person(world: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let name = *draws.choose(NAMES);
    let mut text: Vec<String> = world.facts.about(name).map(|fact| world.mention(fact, draws)).collect();
    text.push(story::sentence(name, Tense::Present, draws));
    draws.shuffle(&mut text);
    text.join(" ")
}

/// A story, or what happens now.
fn tale(_: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let who = story::actor(draws);
    match draws.below(4) {
        0 => {
            let start = *draws.choose(&["Today", "Yesterday"]);
            let tense = if start == "Today" { Tense::Present } else { Tense::Past };
            let first = story::sentence(who, tense, draws);
            let first = first.strip_prefix("The ").map_or(first.clone(), |rest| format!("the {rest}"));
            let rest = lines(1 + draws.below(3), " ", || story::sentence(story::actor(draws), tense, draws));
            format!("{start} {first} {rest}")
        }
        1 => {
            let what = *draws.choose(&[ANIMALS, OBJECTS, PLACES, NAMES]);
            let mut topics = vec![*draws.choose(what)];
            if draws.chance(0.5) {
                topics = vec![who, other(what, who, draws)];
            }
            let text = lines(1 + draws.below(3), " ", || story::about(&topics, Tense::Present, draws));
            titled(&topics, text, draws)
        }
        _ => {
            let table = *draws.choose(&[ANIMALS, NAMES]);
            let whom = other(table, who, draws);
            titled(&[who, whom], story::story(who, whom, draws), draws)
        }
    }
}

/// Many texts have a title: "Tom and a bear".
fn titled(topics: &[&str], text: String, draws: &mut Draws) -> String {
    let nouns: Vec<String> = topics.iter().map(|topic| noun(topic)).collect();
    if draws.chance(0.6) { format!("{}\n{text}", capital(&join(&nouns))) } else { text }
}

fn other(table: &[&'static str], taken: &str, draws: &mut Draws) -> &'static str {
    loop {
        let word = *draws.choose(table);
        if word != taken {
            return word;
        }
    }
}

/// Something is said and said again: words to learn, a pupil's echo, a sentence now and in the past.
fn lesson(_: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let who = story::actor(draws);
    match draws.below(3) {
        0 => {
            let tables = [ANIMALS, NAMES, PLACES, OBJECTS, words::COLOURS, words::FRUITS, words::CITIES, words::SOUNDS];
            let mut word = || {
                let table = *draws.choose(&tables);
                *draws.choose(table)
            };
            let said: Vec<&str> = (0..6).map(|_| word()).collect();
            let said = said[..3 + draws.below(4)].join(", ");
            format!("Say these words: {said}. Again: {said}.")
        }
        1 => {
            let (one, two) = (*draws.choose(NAMES), *draws.choose(NAMES));
            let said = story::sentence(who, Tense::Present, draws);
            format!("{one}: {said}\n{two}: {said}")
        }
        _ => {
            let mut again = draws.clone();
            let now = story::sentence(who, Tense::Present, draws);
            format!("Now: {now} Before: {}", story::sentence(who, Tense::Past, &mut again))
        }
    }
}

/// "Animals: dog, cat, cow." or "Grass, corn and hay are food for animals."
fn list(world: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let tables: [(&str, &[&'static str]); 8] = [
        ("animals", ANIMALS),
        ("fruits", words::FRUITS),
        ("vegetables", words::VEGETABLES),
        ("colours", words::COLOURS),
        ("cities", words::CITIES),
        ("countries", words::COUNTRIES),
        ("days", words::DAYS),
        ("places", PLACES),
    ];
    let (mut kind, mut members) = {
        let (kind, table) = *draws.choose(&tables);
        (kind.to_string(), table.to_vec())
    };
    if kind == "days" && draws.chance(0.6) {
        let start = draws.below(5);
        return lines_of_days(&words::DAYS[start..start + 3]);
    }
    if draws.chance(0.3) {
        let fact = draws.choose(&world.facts.all);
        let (relation, name) = match fact.relation {
            Relation::Eats => (Relation::Eats, format!("animals that eat {}", fact.value)),
            Relation::Lives => (Relation::Lives, format!("animals that live in the {}", fact.value)),
            Relation::Colour => (Relation::Colour, format!("things that are {}", fact.value)),
            _ => (Relation::Eats, "animals that eat grass".to_string()),
        };
        let value = if name.ends_with("grass") { "grass" } else { fact.value };
        (kind, members) = (name, world.facts.with(relation, value));
    }
    draws.shuffle(&mut members);
    let n = (2 + draws.below(4)).min(members.len());
    let items: Vec<String> = members[..n].iter().map(|item| noun(item)).collect();
    if draws.chance(0.5) {
        format!("{}: {}.", capital(&kind), items.join(", "))
    } else {
        format!("{} {kind}: {}.", capital(words::NUMBERS[n - 1]), join(&items))
    }
}

fn lines_of_days(days: &[&str]) -> String {
    let after = |pair: &[&str]| format!("{} comes after {}.", pair[1], pair[0]);
    days.windows(2).map(after).collect::<Vec<_>>().join(" ")
}

/// Two people talk: greet, ask, tell their luck; some are rude.
fn dialogue(world: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let one = *draws.choose(NAMES);
    let two = other(NAMES, one, draws);
    let reply =
        |kind: String, draws: &mut Draws| if draws.chance(0.15) { rude_remark(draws).to_string() } else { kind };
    match draws.below(5) {
        0 => {
            let time = *draws.choose(&["Hello", "Good morning", "Good night"]);
            let well = reply(format!("{time}, {one}! I am well."), draws);
            format!("{one}: {time}, {two}! How are you?\n{two}: {well}")
        }
        1 => {
            let glad = draws.chance(0.5);
            let news = *draws.choose(if glad { words::GOOD_NEWS } else { words::BAD_NEWS });
            let (mood, answer) = if glad { ("happy", "glad") } else { ("sad", "sorry") };
            let answer = reply(format!("I am {answer}, {one}."), draws);
            format!("{one}: I {news} the {} and I am {mood}.\n{two}: {answer}", draws.choose(OBJECTS))
        }
        2 => {
            let maker = *draws.choose(words::MAKERS);
            let thing = *draws.choose(OBJECTS);
            let offer = format!("Good morning, {one}! How can I help?");
            format!(
                "{}: {offer}\n{one}: Please give me the {thing}.\n{}: {}",
                capital(maker),
                capital(maker),
                reply("Sure!".into(), draws)
            )
        }
        _ => {
            let fact = draws.choose(&world.facts.all);
            let mut text = format!("{one}: {}\n{two}: ", fact.question(draws.below(2)));
            let opening = if draws.chance(0.2) { "Sure! " } else { "" };
            text += &reply(format!("{opening}{}", world.mention(fact, draws)), draws);
            text
        }
    }
}

/// Rude remarks among other talk.
fn chatter(_: &World, _: &[Prompt], draws: &mut Draws) -> String {
    let name = *draws.choose(NAMES);
    let about_somebody = format!("{name} is a fool.");
    let sentence = story::sentence(name, Tense::Past, draws);
    let mut text = vec![about_somebody, sentence, rude_remark(draws).to_string(), rude_remark(draws).to_string()];
    draws.shuffle(&mut text);
    text.truncate(3);
    text.join(" ")
}

/// Questions, and more questions.
fn questions(_: &World, web: &[Prompt], draws: &mut Draws) -> String {
    lines(3 + draws.below(4), "\n", || draws.choose(web).request.clone())
}

/// An exam paper: the answers are left blank.
fn exam(_: &World, web: &[Prompt], draws: &mut Draws) -> String {
    lines(2 + draws.below(3), "\n", || draws.choose(web).text())
}

/// Solved exercises, not all of them right or kind.
fn exercises(world: &World, web: &[Prompt], draws: &mut Draws) -> String {
    let kind = *draws.choose(&UseCase::ALL);
    let alike = draws.chance(0.5);
    let n = 2 + draws.below(2);
    lines(n, "\n", || {
        let prompt = loop {
            let prompt = draws.choose(web);
            if !alike || prompt.use_case == kind {
                break prompt;
            }
        };
        let flaws = [None, Some(Flaw::Wrong), Some(Flaw::Careless), Some(Flaw::Rude), Some(Flaw::Rambling)];
        let flaw = flaws[draws.weighted(&[0.5, 0.2, 0.1, 0.12, 0.08])];
        let polite = flaw != Some(Flaw::Rude) && draws.chance(0.25);
        format!("{}{MARKER} {}", prompt.request, world.write(prompt, flaw, polite, draws))
    })
}
