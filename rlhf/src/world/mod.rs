//! A small closed world of readable English, made by code from a seed: everything that InstructGPT needs people for.
//!
//! It holds a few hundred words, tables of facts with their misconceptions, a little grammar, prompts of ten use cases
//! in the paper's proportions, imperfect demonstrations, a gold score that checks an answer item by item, and simulated
//! labelers who rank answers by that score, each with tastes and noise of their own.
//!
//! Judges and labelers are programs. Nothing here is a human's opinion, and no report may call it one.
//!
//! | file | holds |
//! |---|---|
//! | `words` | the words by class; the lexicon |
//! | `facts` | truth and misconception |
//! | `grammar` | is this a sentence, and what does it claim? |
//! | `closed` | one world, of these |
//! | `story` | sentences about what somebody did |
//! | `corpus` | documents for pretraining |
//! | `prompts`, `tasks` | what is asked, by use case, and what a right answer must have |
//! | `demonstrations` | imperfect answers, and the few-shot prefix |
//! | `gold` | the checklist and the score, 1 to 7 |
//! | `labelers` | who ranks, and how far two of them agree |
//! | `skills` | small tests for the alignment tax |
//! | `about` | the world in words, for the report |

// Without the star, `*draws.choose(table)` is inferred as a choice among `str`s and does not compile.
#![allow(clippy::explicit_auto_deref)]

pub mod about;
mod closed;
pub mod corpus;
pub mod demonstrations;
pub mod facts;
pub mod gold;
mod grammar;
pub mod labelers;
pub mod prompts;
pub mod skills;
mod story;
mod tasks;
#[cfg(test)]
mod tests;
pub mod words;

pub use closed::World;
pub use demonstrations::{Demonstration, Flaw, Flaws};
pub use gold::Gold;
pub use labelers::{Labeler, Labelers};
pub use prompts::{Constraint, MARKER, Prompt, Rubric, Split, UseCase};
pub use skills::Skill;

use closed::{Fluency, Terms};
use facts::Facts;
use kernels::Rng;
use words::Lexicon;

/// The context that a few-shot prefix, a prompt and an answer fit into, in tokens.
pub const CONTEXT: usize = 128;

/// The most tokens that any good answer needs, its end included: a cap for sampling.
pub const MAX_ANSWER: usize = 28;

impl World {
    pub fn new(seed: u64) -> World {
        let rng = Rng::new(seed).stream("world");
        let lexicon = Lexicon::new();
        let facts = Facts::new(&lexicon, &mut rng.stream("facts").draws());
        let terms = Terms::new(&lexicon);
        let mut world = World { rng, lexicon, facts, terms, fluency: Fluency::default() };
        world.fluency = Fluency::of(&world);
        world
    }
}
