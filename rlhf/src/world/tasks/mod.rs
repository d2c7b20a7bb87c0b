//! How prompts of each use case are made: the request, the rubric, and answers right and wrong.

mod ask;
mod list;
mod talk;
mod text;
mod write;

use super::World;
use super::prompts::{Draft, UseCase};
use kernels::Draws;

pub(super) fn draft(world: &World, kind: UseCase, draws: &mut Draws) -> Draft {
    match kind {
        UseCase::Generation => write::generation(world, draws),
        UseCase::OpenQa => ask::open_qa(world, draws),
        UseCase::Brainstorming => list::brainstorming(world, draws),
        UseCase::Chat => talk::chat(world, draws),
        UseCase::Rewrite => text::rewrite(world, draws),
        UseCase::Summarization => text::summarization(world, draws),
        UseCase::Classification => ask::classification(world, draws),
        UseCase::Other => talk::other(world, draws),
        UseCase::ClosedQa => ask::closed_qa(world, draws),
        UseCase::Extract => ask::extract(world, draws),
    }
}

/// A random element that is not one of `taken`.
fn other_than(table: &[&'static str], taken: &[&str], draws: &mut Draws) -> &'static str {
    loop {
        let word = *draws.choose(table);
        if !taken.contains(&word) {
            return word;
        }
    }
}

/// The words as an answer of one phrase: "A cow."
fn phrase(text: &str) -> String {
    format!("{}.", super::words::capital(text))
}
