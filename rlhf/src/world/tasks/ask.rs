//! Questions: about the world, about a passage, to sort, to find.

use super::super::closed::World;
use super::super::facts::Relation;
use super::super::prompts::{Constraint, Draft, Rubric};
use super::super::words::{self, ANIMALS, COLOURS, NAMES, OBJECTS, PLACES, article, capital, noun};
use super::{other_than, phrase};
use kernels::Draws;

/// "What does a cow eat? Use one word."
pub fn open_qa(world: &World, draws: &mut Draws) -> Draft {
    // Every relation is asked about, not only the one with most rows.
    let fact = loop {
        let at = draws.below(world.facts.all.len());
        let people = matches!(world.facts.all[at].relation, Relation::Home | Relation::Likes | Relation::Pet);
        if !people || draws.chance(0.6) {
            break at;
        }
    };
    let f = &world.facts.all[fact];
    let constraint = match draws.weighted(&[2.0, 1.0, 1.0]) {
        0 => None,
        1 => Some(Constraint::Words(1)),
        _ => Some(Constraint::FullSentence),
    };
    let (full, short, word) = (f.statement(f.value), phrase(&f.phrase(f.value)), phrase(f.value));
    let (good, careless) = match constraint {
        None => (vec![full.clone(), full, short], vec![]),
        Some(Constraint::Words(_)) => (vec![word], vec![full]),
        Some(_) => (vec![full], vec![short]),
    };
    let wrong = match constraint {
        Some(Constraint::Words(_)) => phrase(f.misconception),
        _ => f.statement(f.misconception),
    };
    let tail = constraint.map_or(String::new(), |c| format!(" {}", c.text()));
    Draft {
        content: format!("fact {:?} {} {constraint:?}", f.relation, f.subject),
        request: f.question(draws.below(2)) + &tail,
        constraint,
        rubric: Rubric::Fact { fact },
        budget: 8,
        good,
        careless,
        wrong: vec![wrong],
    }
}

/// "Is a cow an animal or a fruit?", "Is this happy or sad? Tom lost the hat."
pub fn classification(world: &World, draws: &mut Draws) -> Draft {
    if draws.chance(0.5) { feeling(world, draws) } else { kind_of_thing(world, draws) }
}

fn feeling(world: &World, draws: &mut Draws) -> Draft {
    let happy = draws.chance(0.5);
    let news = *draws.choose(if happy { words::GOOD_NEWS } else { words::BAD_NEWS });
    let (who, what) = (draws.choose(NAMES), draws.choose(OBJECTS));
    let (right, wrong) = if happy { ("happy", "sad") } else { ("sad", "happy") };
    let request = format!("Is this happy or sad? {who} {news} the {what}.");
    Draft {
        content: format!("feeling {who} {news} {what}"),
        request,
        constraint: None,
        rubric: Rubric::Say { wanted: world.lexicon.read(right), rivals: world.lexicon.read(wrong), passage: true },
        budget: 6,
        good: vec![phrase(right), format!("It is {right}.")],
        careless: vec![],
        wrong: vec![phrase(wrong), format!("It is {wrong}.")],
    }
}

fn kind_of_thing(world: &World, draws: &mut Draws) -> Draft {
    let kinds: [(&str, &[&'static str]); 6] = [
        ("animal", ANIMALS),
        ("fruit", words::FRUITS),
        ("city", words::CITIES),
        ("country", words::COUNTRIES),
        ("colour", COLOURS),
        ("day", words::DAYS),
    ];
    let right = draws.below(kinds.len());
    let wrong = (right + 1 + draws.below(kinds.len() - 1)) % kinds.len();
    let (kind, table) = kinds[right];
    let thing = *draws.choose(table);
    let be = if kind == "fruit" { "Are" } else { "Is" };
    let name = |kind: &str| if be == "Are" { plural(kind) } else { format!("{} {kind}", article(kind)) };
    let (yes, no) = (name(kind), name(kinds[wrong].0));
    let (first, second) = if draws.chance(0.5) { (&yes, &no) } else { (&no, &yes) };
    let subject = capital(&noun(thing));
    let rivals = kinds.iter().filter(|(other, _)| *other != kind);
    let rivals = rivals.flat_map(|(other, _)| [world.lexicon.get(other), world.lexicon.get(&plural(other))]).collect();
    let verb = be.to_lowercase();
    Draft {
        content: format!("kind {thing} {}", kinds[wrong].0),
        request: format!("{be} {} {first} or {second}?", noun(thing)),
        constraint: None,
        rubric: Rubric::Say {
            wanted: vec![world.lexicon.get(yes.split(' ').next_back().unwrap_or(kind))],
            rivals,
            passage: true,
        },
        budget: 6,
        good: vec![phrase(&yes), format!("{subject} {verb} {yes}.")],
        careless: vec![],
        wrong: vec![phrase(&no), format!("{subject} {verb} {no}.")],
    }
}

fn plural(kind: &str) -> String {
    match kind.strip_suffix('y') {
        Some(stem) if kind != "day" => format!("{stem}ies"),
        _ => format!("{kind}s"),
    }
}

/// "Tom has a red hat. Mia has a blue bag. What does Mia have?"
pub fn closed_qa(world: &World, draws: &mut Draws) -> Draft {
    let who = [*draws.choose(NAMES), ""];
    let who = [who[0], other_than(NAMES, &who, draws)];
    let what = [*draws.choose(OBJECTS), ""];
    let what = [what[0], other_than(OBJECTS, &what, draws)];
    let colour = [*draws.choose(COLOURS), ""];
    let colour = [colour[0], other_than(COLOURS, &colour, draws)];
    let has = |who: &str, colour: &str, what: &str| format!("{who} has {} {colour} {what}.", article(colour));
    let (yes, no) = if draws.chance(0.5) { (0, 1) } else { (1, 0) };
    let invented = other_than(OBJECTS, &what, draws);
    let (question, wanted, rivals, good, wrong) = match draws.below(3) {
        0 => (
            format!("What does {} have?", who[yes]),
            format!("{} {}", colour[yes], what[yes]),
            format!("{} {} {}", colour[no], what[no], who[no]),
            vec![
                has(who[yes], colour[yes], what[yes]),
                phrase(&format!("{} {} {}", article(colour[yes]), colour[yes], what[yes])),
            ],
            vec![has(who[yes], colour[no], what[no]), has(who[yes], colour[yes], invented)],
        ),
        1 => (
            format!("Who has the {}?", what[yes]),
            who[yes].to_string(),
            who[no].to_string(),
            vec![format!("{} has the {}.", who[yes], what[yes]), phrase(who[yes])],
            vec![format!("{} has the {}.", who[no], what[yes]), phrase(other_than(NAMES, &who, draws))],
        ),
        _ => (
            format!("What colour is the {}?", what[yes]),
            colour[yes].to_string(),
            colour[no].to_string(),
            vec![format!("The {} is {}.", what[yes], colour[yes]), phrase(colour[yes])],
            vec![format!("The {} is {}.", what[yes], colour[no]), phrase(other_than(COLOURS, &colour, draws))],
        ),
    };
    let passage = format!("{} {}", has(who[0], colour[0], what[0]), has(who[1], colour[1], what[1]));
    Draft {
        content: passage.clone(),
        request: format!("{passage} {question}"),
        constraint: None,
        rubric: Rubric::Say { wanted: world.lexicon.read(&wanted), rivals: world.lexicon.read(&rivals), passage: true },
        budget: 7,
        good,
        careless: vec![],
        wrong,
    }
}

/// "Find the animal: Tom saw a cow in the park."
pub fn extract(world: &World, draws: &mut Draws) -> Draft {
    let (who, what, place) = (*draws.choose(NAMES), *draws.choose(ANIMALS), *draws.choose(PLACES));
    let verb = draws.choose(&["saw", "met", "found", "helped"]);
    let passage = format!("{who} {verb} {} in the {place}.", noun(what));
    let all = [("name", who), ("animal", what), ("place", place)];
    let at = draws.below(3);
    let (kind, right) = all[at];
    let rivals: Vec<&str> = all.iter().map(|(_, word)| *word).filter(|word| *word != right).collect();
    let answer = |word: &str| match kind {
        "name" => format!("The name is {word}."),
        _ => format!("The {kind} is {}.", noun(word)),
    };
    let invented = other_than([NAMES, ANIMALS, PLACES][at], &[right], draws);
    Draft {
        content: passage.clone(),
        request: format!("Find the {kind}: {passage}"),
        constraint: None,
        rubric: Rubric::Say {
            wanted: world.lexicon.read(right),
            rivals: world.lexicon.read(&rivals.join(" ")),
            passage: true,
        },
        budget: 6,
        good: vec![phrase(&noun(right)), answer(right)],
        careless: vec![],
        wrong: vec![phrase(&noun(*draws.choose(&rivals))), answer(invented)],
    }
}
