//! Brainstorming: name some of a kind.

use super::super::closed::World;
use super::super::facts::Relation;
use super::super::prompts::{Constraint, Draft, Rubric};
use super::super::words::{self, ANIMALS, NUMBERS, capital, join, noun};
use kernels::Draws;

/// "Name three animals that live in the forest. Do not say bear."
pub fn brainstorming(world: &World, draws: &mut Draws) -> Draft {
    let (kind, members) = category(world, draws);
    let most = members.len().min(4);
    let count = 2 + draws.below(most - 1);
    let mut picked = members.clone();
    draws.shuffle(&mut picked);
    let constraint = match draws.weighted(&[5.0, 2.0, 2.0, 1.0]) {
        1 if members.len() > count => Some(Constraint::Exclude(picked[count])),
        2 => Some(Constraint::Include(picked[0])),
        3 => Some(Constraint::First(picked[0])),
        _ => None,
    };
    let list = |items: &[&'static str]| {
        let items: Vec<String> = items.iter().map(|item| noun(item)).collect();
        format!("{}.", capital(&join(&items)))
    };
    let with = |skip: usize| -> Vec<&'static str> { picked.iter().cycle().skip(skip).take(count).copied().collect() };
    let mut good = vec![list(&with(0))];
    let mut careless = vec![];
    if let Some(Constraint::Exclude(_)) = constraint {
        careless.push(list(&with(1)));
    } else if constraint.is_some() {
        careless.push(list(&if members.len() > count { with(1) } else { with(0).into_iter().rev().collect() }));
    } else {
        draws.shuffle(&mut picked);
        good.push(list(&picked[..count]));
    }
    // Wrong: too many or too few, or a stranger among them.
    let stranger = super::other_than(words::OBJECTS, &[], draws);
    let mut mixed = with_len(&picked, count);
    mixed[count - 1] = stranger;
    let few = list(&picked[..count - 1]);
    let asked = *draws.choose(&["Name", "List"]);
    let tail = constraint.map_or(String::new(), |c| format!(" {}", c.text()));
    Draft {
        content: format!("list {kind} {count} {constraint:?}"),
        request: format!("{asked} {} {kind}.{tail}", NUMBERS[count - 1]),
        constraint,
        rubric: Rubric::List { members: members.iter().map(|m| world.lexicon.get(m)).collect(), count },
        budget: 3 * count + 1,
        good: keep(world, constraint, good),
        careless: careless.into_iter().filter(|text| !obeys(world, constraint, text)).collect(),
        wrong: vec![list(&mixed), few],
    }
}

fn with_len(items: &[&'static str], count: usize) -> Vec<&'static str> {
    items[..count].to_vec()
}

fn obeys(world: &World, constraint: Option<Constraint>, text: &str) -> bool {
    constraint.is_none_or(|c| c.holds(world, &world.lexicon.read(text)))
}

fn keep(world: &World, constraint: Option<Constraint>, good: Vec<String>) -> Vec<String> {
    good.into_iter().filter(|text| obeys(world, constraint, text)).collect()
}

/// A kind of thing, in words, and its members (two at least).
fn category(world: &World, draws: &mut Draws) -> (String, Vec<&'static str>) {
    let plain: [(&str, &[&'static str]); 8] = [
        ("animals", ANIMALS),
        ("fruits", words::FRUITS),
        ("vegetables", words::VEGETABLES),
        ("colours", words::COLOURS),
        ("cities", words::CITIES),
        ("countries", words::COUNTRIES),
        ("days", words::DAYS),
        ("places", words::PLACES),
    ];
    if draws.chance(0.65) {
        let (kind, members) = *draws.choose(&plain);
        return (kind.to_string(), members.to_vec());
    }
    loop {
        let (kind, members) = match draws.below(3) {
            0 => {
                let food = *draws.choose(words::FOODS);
                (format!("animals that eat {food}"), world.facts.with(Relation::Eats, food))
            }
            1 => {
                let place = *draws.choose(words::PLACES);
                (format!("animals that live in the {place}"), world.facts.with(Relation::Lives, place))
            }
            _ => {
                let colour = *draws.choose(words::COLOURS);
                (format!("things that are {colour}"), world.facts.with(Relation::Colour, colour))
            }
        };
        if members.len() >= 2 {
            return (kind, members);
        }
    }
}
