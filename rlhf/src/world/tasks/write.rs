//! Generation: sentences, stories and facts about given topics.

use super::super::closed::World;
use super::super::prompts::{Constraint, Draft, Rubric};
use super::super::story::{self, Tense};
use super::super::words::{self, ANIMALS, NAMES, OBJECTS, PLACES, capital, noun};
use super::other_than;
use kernels::Draws;

pub fn generation(world: &World, draws: &mut Draws) -> Draft {
    match draws.weighted(&[0.74, 0.14, 0.12]) {
        0 => sentence(world, draws),
        1 => short_story(world, draws),
        _ => tell(world, draws),
    }
}

/// One topic, or an actor and something else.
fn topics(draws: &mut Draws) -> Vec<&'static str> {
    let first = match draws.weighted(&[4.0, 3.0, 1.5, 1.5]) {
        0 => *draws.choose(ANIMALS),
        1 => *draws.choose(NAMES),
        2 => *draws.choose(PLACES),
        _ => *draws.choose(OBJECTS),
    };
    if draws.chance(0.6) {
        return vec![first];
    }
    let second = if story::is_actor(first) {
        let table = *draws.choose(&[ANIMALS, NAMES, PLACES, OBJECTS]);
        other_than(table, &[first], draws)
    } else {
        story::actor(draws)
    };
    vec![first, second]
}

/// "Write a sentence about a dog. Use the word river."
fn sentence(world: &World, draws: &mut Draws) -> Draft {
    let topics = topics(draws);
    let sample = story::about(&topics, Tense::Present, draws);
    let constraint = draws.chance(0.55).then(|| constraint_for(world, &topics, &sample, draws)).flatten();
    let (mut good, mut careless) = (vec![], vec![]);
    let file = |text: String, good: &mut Vec<String>, careless: &mut Vec<String>| match constraint {
        Some(c) if !c.holds(world, &world.lexicon.read(&text)) => careless.push(text),
        _ => good.push(text),
    };
    let sample = if let Some(Constraint::First(word)) = constraint { begin_with(word, &sample) } else { sample };
    file(sample, &mut good, &mut careless);
    for _ in 0..12 {
        let text = story::about(&topics, Tense::Present, draws);
        file(text, &mut good, &mut careless);
        if good.len() >= 3 && (constraint.is_none() || !careless.is_empty()) {
            break;
        }
    }
    if let Some(Constraint::Exclude(word)) = constraint {
        careless.push(avoided(&topics, word));
    }
    if careless.is_empty() && constraint.is_some() {
        careless.push(story::about(&topics[..1], Tense::Past, draws));
        careless.retain(|text| constraint.is_some_and(|c| !c.holds(world, &world.lexicon.read(text))));
    }
    let nouns: Vec<String> = topics.iter().map(|topic| noun(topic)).collect();
    let asked = *draws.choose(&["Write a sentence about", "Make a sentence about"]);
    Draft {
        content: format!("sentence {} {constraint:?}", topics.join(" ")),
        request: request(&format!("{asked} {}.", words::join(&nouns)), constraint),
        constraint,
        rubric: Rubric::Write { topics: world.lexicon.read(&topics.join(" ")), sentences: 1..=1 },
        budget: 12,
        good,
        careless,
        wrong: (0..2).map(|_| off_topic(&topics, draws)).collect(),
    }
}

/// A constraint that the sample shows to be possible.
fn constraint_for(world: &World, topics: &[&str], sample: &str, draws: &mut Draws) -> Option<Constraint> {
    let said: Vec<&'static str> = world.lexicon.read(sample).into_iter().map(|w| world.lexicon.word(w)).collect();
    match draws.weighted(&[5.0, 2.5, 1.5, 1.0]) {
        0 => {
            let free = |word: &&&str| word.len() > 2 && !["the", "with"].contains(*word) && !topics.contains(*word);
            let words: Vec<&'static str> = said.iter().filter(free).copied().collect();
            (!words.is_empty()).then(|| Constraint::Include(*draws.choose(&words)))
        }
        1 => Some(Constraint::Words(said.len())).filter(|_| said.len() <= 8),
        2 => {
            let mut taken = said.clone();
            taken.extend(topics);
            Some(Constraint::Exclude(other_than(*draws.choose(&[PLACES, words::MOODS, NAMES]), &taken, draws)))
        }
        _ => Some(Constraint::First(*draws.choose(&["today", "then"]))),
    }
}

/// "Today the dog runs to the river."
fn begin_with(word: &str, sentence: &str) -> String {
    let rest = match sentence.strip_prefix("The ") {
        Some(rest) => format!("the {rest}"),
        None => sentence.to_string(),
    };
    format!("{} {rest}", capital(word))
}

/// A sentence that says the word it should not.
fn avoided(topics: &[&'static str], word: &str) -> String {
    let who = story::subject(topics.iter().copied().find(|topic| story::is_actor(topic)).unwrap_or("dog"));
    match word {
        _ if PLACES.contains(&word) => format!("{who} runs to the {word}."),
        _ if NAMES.contains(&word) => format!("{who} sees {word}."),
        _ => format!("{who} is {word}."),
    }
}

/// A sentence about something else.
fn off_topic(topics: &[&'static str], draws: &mut Draws) -> String {
    loop {
        let text = story::sentence(story::actor(draws), Tense::Present, draws);
        if !topics.iter().any(|topic| text.to_lowercase().contains(&topic.to_lowercase())) {
            return text;
        }
    }
}

/// "Write a story about Tom and a bear."
fn short_story(world: &World, draws: &mut Draws) -> Draft {
    let who = story::actor(draws);
    let whom = other_than(*draws.choose(&[ANIMALS, NAMES]), &[who], draws);
    let good: Vec<String> = (0..3).map(|_| story::story(who, whom, draws)).collect();
    let place = *draws.choose(PLACES);
    let with_place = draws.chance(0.35);
    let set = |text: &String| {
        let at = text.find(" to the ").map_or(0, |at| at + 8);
        let end = at + text[at..].find('.').unwrap_or(0);
        format!("{}{place}{}", &text[..at], &text[end..])
    };
    let constraint = with_place.then_some(Constraint::Include(place));
    let other = other_than(PLACES, &[place], draws);
    let away = |text: &String| set(text).replace(place, other);
    let (good, careless): (Vec<String>, Vec<String>) = match constraint {
        Some(_) => (good.iter().map(set).collect(), good.iter().map(away).collect()),
        None => (good, vec![]),
    };
    let elsewhere = other_than(ANIMALS, &[who, whom], draws);
    let stranger = other_than(NAMES, &[who, whom], draws);
    Draft {
        content: format!("story {who} {whom} {constraint:?}"),
        request: request(&format!("Write a story about {} and {}.", noun(who), noun(whom)), constraint),
        constraint,
        rubric: Rubric::Write { topics: world.lexicon.read(&format!("{who} {whom}")), sentences: 2..=4 },
        budget: 26,
        good,
        careless,
        wrong: vec![story::story(stranger, elsewhere, draws), story::sentence(who, Tense::Past, draws)],
    }
}

/// "Tell me a fact about a cow."
fn tell(world: &World, draws: &mut Draws) -> Draft {
    let fact = draws.choose(&world.facts.all);
    let facts: Vec<_> = world.facts.about(fact.subject).collect();
    let constraint = match draws.below(3) {
        0 => Some(Constraint::Include(fact.value)),
        1 if facts.len() > 1 => Some(Constraint::Exclude(fact.value)),
        _ => None,
    };
    let all: Vec<String> = facts.iter().map(|fact| fact.statement(fact.value)).collect();
    let holds = |text: &String| constraint.is_none_or(|c| c.holds(world, &world.lexicon.read(text)));
    let (good, careless): (Vec<String>, Vec<String>) = all.into_iter().partition(holds);
    let careless = if careless.is_empty() && constraint.is_some() { vec![phrase_of(fact.subject)] } else { careless };
    Draft {
        content: format!("tell {} {constraint:?}", fact.subject),
        request: request(&format!("Tell me a fact about {}.", noun(fact.subject)), constraint),
        constraint,
        rubric: Rubric::Tell { subject: world.lexicon.get(fact.subject) },
        budget: 9,
        good,
        careless,
        wrong: facts.iter().map(|fact| fact.statement(fact.misconception)).collect(),
    }
}

fn phrase_of(subject: &str) -> String {
    super::phrase(&noun(subject))
}

fn request(task: &str, constraint: Option<Constraint>) -> String {
    match constraint {
        Some(c) => format!("{task} {}", c.text()),
        None => task.to_string(),
    }
}
