//! Rewriting and summing up a given text.

use super::super::closed::World;
use super::super::prompts::{Draft, Rubric};
use super::super::story::{self, Tense};
use super::super::words::{self, ANIMALS, COLOURS, NAMES, OBJECTS, PLACES, article, capital, noun};
use super::other_than;
use kernels::Draws;

/// "Put this in the past: The dog runs to the river."
pub fn rewrite(world: &World, draws: &mut Draws) -> Draft {
    let (request, good, wrong) = match draws.weighted(&[4.0, 3.0, 3.0]) {
        0 => {
            let who = story::actor(draws);
            // The same draws in another tense: the same sentence in that tense.
            let mut again = draws.clone();
            let now = story::sentence(who, Tense::Present, draws);
            let then = story::sentence(who, Tense::Past, &mut again);
            let asked = *draws.choose(&["Put this in the past", "Say this in the past"]);
            let mistake = story::sentence(who, Tense::Past, draws);
            (format!("{asked}: {now}"), then, vec![now, mistake])
        }
        1 => {
            let colour = draws.choose(COLOURS);
            let object = draws.choose(OBJECTS);
            let verb = draws.choose(&["give me", "buy me", "find me"]);
            let thing = match draws.chance(0.6) {
                true => format!("{} {colour} {object}", article(colour)),
                false => format!("the {object}"),
            };
            let rude = format!("{} {thing}.", capital(verb));
            let mistake = format!("Please {verb} the {}.", other_than(OBJECTS, &[object], draws));
            (format!("Make this polite: {rude}"), format!("Please {verb} {thing}."), vec![rude, mistake])
        }
        _ => {
            let old = *draws.choose(NAMES);
            let new = other_than(NAMES, &[old], draws);
            let text = loop {
                let text = story::sentence(old, Tense::Present, draws);
                if !text.contains(new) {
                    break text;
                }
            };
            let swapped = text.replacen(old, new, 1);
            let mistake = story::sentence(new, Tense::Present, draws);
            (format!("Put {new} for {old}: {text}"), swapped, vec![text, mistake])
        }
    };
    let target = world.lexicon.read(&good);
    Draft {
        content: request.replace("Say this", "Put this"),
        request,
        constraint: None,
        budget: target.len(),
        rubric: Rubric::Exact { target },
        wrong: wrong.into_iter().filter(|text| *text != good).collect(),
        good: vec![good],
        careless: vec![],
    }
}

/// "Sum up: Tom went to the forest. The day was cold. Tom saw a bear."
pub fn summarization(world: &World, draws: &mut Draws) -> Draft {
    let (who, place) = (*draws.choose(NAMES), *draws.choose(PLACES));
    let (what, weather) = (*draws.choose(ANIMALS), draws.choose(words::WEATHER));
    let went = draws.choose(&["went", "walked", "ran"]);
    let verb = *draws.choose(&["saw", "met", "found", "helped"]);
    let day = format!("The day was {weather}.");
    let text = format!("{who} {went} to the {place}. {day} {who} {verb} {}.", noun(what));
    let sum = |what: &str, place: &str| format!("{who} {verb} {} in the {place}.", noun(what));
    let asked = *draws.choose(&["Sum up", "Make this short"]);
    Draft {
        content: format!("sum {text}"),
        request: format!("{asked}: {text}"),
        constraint: None,
        rubric: Rubric::Say {
            wanted: world.lexicon.read(&format!("{who} {verb} {what} {place}")),
            rivals: vec![],
            passage: true,
        },
        budget: 8,
        good: vec![sum(what, place)],
        careless: vec![],
        wrong: vec![
            day,
            sum(other_than(ANIMALS, &[what], draws), place),
            sum(what, other_than(PLACES, &[place], draws)),
            text,
        ],
    }
}
