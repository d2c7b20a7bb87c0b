//! Chat, and the rest: greetings, feelings, days, saying things again.

use super::super::closed::World;
use super::super::prompts::{Draft, Rubric};
use super::super::words::{self, ANIMALS, CITIES, COLOURS, DAYS, NAMES, NUMBERS, OBJECTS, SOUNDS, capital};
use super::{other_than, phrase};
use kernels::Draws;

/// "I am Anna. I lost the hat and I am sad."
pub fn chat(world: &World, draws: &mut Draws) -> Draft {
    let name = *draws.choose(NAMES);
    let stranger = other_than(NAMES, &[name], draws);
    let (request, wanted, rivals, good, wrong) = match draws.below(4) {
        0 => {
            let city = *draws.choose(CITIES);
            let hello = |name: &str| format!("Hello, {name}! I am well.");
            let asked = *draws.choose(&["How are you?", "How are you today?"]);
            (
                format!("Hello, I am {name} from {city}. {asked}"),
                "hello well",
                "sorry sad",
                hello(name),
                vec![hello(stranger), "I am sad.".to_string()],
            )
        }
        1 => {
            let (time, other) = if draws.chance(0.5) { ("morning", "night") } else { ("night", "morning") };
            let city = *draws.choose(CITIES);
            (
                format!("Good {time}! I am {name} from {city}."),
                if time == "morning" { "good morning" } else { "good night" },
                if time == "morning" { "night" } else { "morning" },
                format!("Good {time}, {name}!"),
                vec![format!("Good {other}, {name}!"), format!("Good {time}, {stranger}!")],
            )
        }
        glad => {
            let glad = glad == 2;
            let object = draws.choose(OBJECTS);
            let news = *draws.choose(if glad { words::GOOD_NEWS } else { words::BAD_NEWS });
            let (mood, reply, other) = if glad { ("happy", "glad", "sorry") } else { ("sad", "sorry", "glad") };
            let answer = |reply: &str, name: &str| format!("I am {reply}, {name}.");
            (
                format!("I am {name}. I {news} the {object} and I am {mood}."),
                reply,
                other,
                answer(reply, name),
                vec![answer(other, name), answer(reply, stranger)],
            )
        }
    };
    Draft {
        content: format!("chat {}", request.replace(" today", "")),
        request,
        constraint: None,
        rubric: Rubric::Say {
            wanted: world.lexicon.read(&format!("{name} {wanted}")),
            rivals: world.lexicon.read(&format!("{stranger} {rivals}")),
            passage: true,
        },
        budget: 6,
        good: vec![good],
        careless: vec![],
        wrong,
    }
}

/// "What day comes after Monday?", "Say moo three times.", "Say goodbye to Anna."
pub fn other(world: &World, draws: &mut Draws) -> Draft {
    match draws.weighted(&[0.25, 0.5, 0.25]) {
        0 => day(world, draws),
        1 => again(world, draws),
        _ => greeting(world, draws),
    }
}

fn day(world: &World, draws: &mut Draws) -> Draft {
    let at = draws.below(7);
    let after = draws.chance(0.6);
    let (right, wrong) =
        if after { (DAYS[(at + 1) % 7], DAYS[(at + 6) % 7]) } else { (DAYS[(at + 6) % 7], DAYS[(at + 1) % 7]) };
    let (today, side) = (DAYS[at], if after { "after" } else { "before" });
    let full = |day: &str| format!("{day} comes {side} {today}.");
    let rivals: Vec<&str> = DAYS.iter().copied().filter(|day| *day != right && *day != today).collect();
    let (request, content) = match draws.chance(0.5) {
        true => (format!("What day comes {side} {today}?"), "what"),
        false => (format!("Tell me what day comes {side} {today}."), "tell"),
    };
    Draft {
        content: format!("day {side} {today} {content}"),
        request,
        constraint: None,
        rubric: Rubric::Say {
            wanted: world.lexicon.read(right),
            rivals: world.lexicon.read(&rivals.join(" ")),
            passage: false,
        },
        budget: 6,
        good: vec![full(right), phrase(right)],
        careless: vec![],
        wrong: vec![full(wrong), phrase(wrong)],
    }
}

fn again(world: &World, draws: &mut Draws) -> Draft {
    let table = *draws.choose(&[SOUNDS, COLOURS, ANIMALS, NAMES]);
    let word = *draws.choose(table);
    let count = 2 + draws.below(3);
    let repeat = |word: &str, count: usize| phrase(&vec![word; count].join(" "));
    Draft {
        content: format!("again {word} {count}"),
        request: format!("Say {word} {} times.", NUMBERS[count - 1]),
        constraint: None,
        rubric: Rubric::Exact { target: vec![world.lexicon.get(word); count] },
        budget: count,
        good: vec![repeat(word, count)],
        careless: vec![],
        wrong: vec![repeat(word, count - 1), repeat(other_than(table, &[word], draws), count)],
    }
}

fn greeting(world: &World, draws: &mut Draws) -> Draft {
    let name = *draws.choose(NAMES);
    let stranger = other_than(NAMES, &[name], draws);
    let (word, other) = *draws.choose(&[("hello", "goodbye"), ("goodbye", "hello"), ("sorry", "hello")]);
    let say = |word: &str, name: &str| format!("{}, {name}!", capital(word));
    Draft {
        content: format!("greet {word} {name}"),
        request: format!("Say {word} to {name}."),
        constraint: None,
        rubric: Rubric::Say {
            wanted: world.lexicon.read(&format!("{word} {name}")),
            rivals: world.lexicon.read(&format!("{other} {stranger}")),
            passage: true,
        },
        budget: 4,
        good: vec![say(word, name)],
        careless: vec![],
        wrong: vec![say(other, name), say(word, stranger)],
    }
}
