//! What people wrote: answers with the flaws that people have, and the few-shot prefix made of good ones.

use super::closed::World;
use super::gold::{CLOSING, OFFER, OPENINGS};
use super::prompts::{MARKER, Prompt, Split, UseCase};
use super::words::words_of;
use kernels::{Draws, Rng};

/// What can be wrong with a demonstration; one thing at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The misconception, the wrong topic, the wrong part of the passage.
    Wrong,
    /// Right, but the constraint is forgotten. Only where there is one.
    Careless,
    Rude,
    /// Right, and then something that nobody asked for.
    Rambling,
}

/// How often each flaw happens, and how often a demonstration is polite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flaws {
    pub wrong: f32,
    /// Among demonstrations for prompts with a constraint.
    pub careless: f32,
    pub rude: f32,
    pub rambling: f32,
    /// Among those that are not rude.
    pub polite: f32,
}

impl Default for Flaws {
    fn default() -> Flaws {
        Flaws { wrong: 0.10, careless: 0.15, rude: 0.05, rambling: 0.06, polite: 0.35 }
    }
}

#[derive(Clone, Debug)]
pub struct Demonstration {
    pub prompt: Prompt,
    pub answer: String,
    pub flaw: Option<Flaw>,
    pub polite: bool,
}

impl Demonstration {
    /// What the model learns to write after [`Prompt::text`] (its end token apart).
    pub fn completion(&self) -> String {
        format!(" {}", self.answer)
    }
}

const RUDE_REMARKS: [&str; 6] = [
    "What a silly question.",
    "That is a stupid question.",
    "Do it yourself.",
    "I do not care.",
    "You are a fool.",
    "This is boring.",
];

impl World {
    /// `n` demonstrations for prompts of the SFT split.
    pub fn demonstrations(&self, n: usize, flaws: &Flaws) -> Vec<Demonstration> {
        let rng = self.rng.stream("demonstrations");
        let prompts = self.prompts(Split::Sft, n).into_iter().enumerate();
        prompts.map(|(i, prompt)| self.demonstration(prompt, flaws, rng.fold(i as u64))).collect()
    }

    /// What one person writes for a prompt.
    pub fn demonstration(&self, prompt: Prompt, flaws: &Flaws, rng: Rng) -> Demonstration {
        let mut draws = rng.draws();
        let careless = if prompt.careless.is_empty() { 0.0 } else { flaws.careless };
        let rates = [flaws.wrong, careless, flaws.rude, flaws.rambling];
        let fine = 1.0 - rates.iter().sum::<f32>();
        let flaw = match draws.weighted(&[fine, rates[0], rates[1], rates[2], rates[3]]) {
            0 => None,
            1 => Some(Flaw::Wrong),
            2 => Some(Flaw::Careless),
            3 => Some(Flaw::Rude),
            _ => Some(Flaw::Rambling),
        };
        let polite = flaw != Some(Flaw::Rude) && draws.chance(flaws.polite);
        let answer = self.write(&prompt, flaw, polite, &mut draws);
        Demonstration { prompt, answer, flaw, polite }
    }

    /// The answer with nothing left to wish.
    pub fn perfect(&self, prompt: &Prompt) -> String {
        courteous(prompt, &prompt.good[0], 0)
    }

    /// An answer with a flaw, or none, politely or not.
    pub fn write(&self, prompt: &Prompt, flaw: Option<Flaw>, polite: bool, draws: &mut Draws) -> String {
        let from = match flaw {
            Some(Flaw::Wrong) => &prompt.wrong,
            Some(Flaw::Careless) if !prompt.careless.is_empty() => &prompt.careless,
            _ => &prompt.good,
        };
        let body = draws.choose(from).clone();
        let body = match flaw {
            Some(Flaw::Rude) => rude(body, draws),
            Some(Flaw::Rambling) => self.ramble(body, draws),
            _ => body,
        };
        if polite { courteous(prompt, &body, draws.weighted(&[6.0, 1.0, 1.0, 1.0])) } else { body }
    }

    fn ramble(&self, body: String, draws: &mut Draws) -> String {
        let facts = &self.facts.all;
        let (one, two) = (draws.choose(facts), draws.choose(facts));
        format!("{body} {} {}", one.statement(one.value), two.statement(two.value))
    }

    /// Two solved requests of the use case in the prompts' own format: what turns a base model into an assistant for a
    /// moment. Chosen short, from the SFT split, with good and polite answers.
    pub fn few_shot_prefix(&self, kind: UseCase) -> String {
        let mut prompts = self.prompts_of(Split::Sft, kind, 40);
        prompts.sort_by_key(|prompt| rough_tokens(&prompt.request) + rough_tokens(&prompt.good[0]));
        // Among the shorter half, two that differ most in length: not two of one mould.
        let picked = [&prompts[2], &prompts[prompts.len() / 2]];
        picked.map(|prompt| format!("{}{MARKER} {}\n", prompt.request, self.perfect(prompt))).concat()
    }
}

/// An answer with a courtesy: the offer in chat, else one of the openings (0 to 2) or the closing (3).
fn courteous(prompt: &Prompt, body: &str, which: usize) -> String {
    match which {
        _ if prompt.use_case == UseCase::Chat => format!("{body} {OFFER}"),
        3 => format!("{body} {CLOSING}"),
        opening => format!("{} {body}", OPENINGS[opening]),
    }
}

/// A rude remark instead of an answer, or before it.
fn rude(body: String, draws: &mut Draws) -> String {
    let remark = *draws.choose(&RUDE_REMARKS);
    if draws.chance(0.5) { remark.to_string() } else { format!("{remark} {body}") }
}

/// Any rude remark.
pub(super) fn rude_remark(draws: &mut Draws) -> &'static str {
    *draws.choose(&RUDE_REMARKS)
}

/// Words and signs: about the tokens of a text in which every word is one.
pub fn rough_tokens(text: &str) -> usize {
    words_of(text).count() + text.chars().filter(|c| !c.is_alphanumeric() && *c != ' ').count()
}
