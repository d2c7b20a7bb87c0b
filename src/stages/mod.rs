//! The stages: one row of the table each, one file a method. Whatever names stages (recipes, the pipeline, estimates, the
//! report, the command line) goes through the table, and verb and pipeline run the same body.

mod estimate;
#[cfg(test)]
mod fuzz;
mod ppo;
mod pretrain;
mod recipe;
mod rm;
mod sft;
#[cfg(test)]
mod tests;

pub use estimate::{Sizes, estimate};
pub use recipe::{load, parse};

use crate::config::{Recipe, Section, keys};
use crate::error::{Failure, Result};
use crate::training::Setup;
use crate::training::memory::Need;
use clap::{Args, Command};
use kernels::Rng;
use model::{BaseModels, HeadKind, Model};
use rlhf_core::data::{Example, Processor, Ranking};
use rlhf_core::range::{TOKENS, count};
use rlhf_core::rollout::Episode;
use rlhf_core::train::{Run, TrainError};
use serde::Serialize;
use std::path::PathBuf;
use toml::Table;

/// The stages in the order in which they run and are told.
pub const STAGES: &[&Stage] = &[&pretrain::BASE, &sft::INIT, &sft::SFT, &rm::RM, &ppo::PPO, &ppo::PPO_PTX];

/// A stage of training: what trains, on what, and how it shows.
pub struct Stage {
    /// In recipes, folders and reports: "sft" of `S.sft`.
    pub name: &'static str,
    /// The section of a recipe that has its keys; stages may share one.
    pub section: Section,
    /// Keys of a shared section that are 0 for this stage.
    pub zero: &'static [&'static str],
    /// For every size of model, or once.
    pub per_size: bool,
    /// A recipe that names no stages makes it.
    pub by_default: bool,
    pub verb: Option<Verb>,
    /// The models that the evaluation asks, and how they show in figures; none for a reward model.
    pub shown: &'static [Shown],
    /// The stage whose model it starts from; None: fresh numbers.
    pub from: fn(&Recipe) -> Option<String>,
    pub needs: fn(&Recipe) -> Vec<Needs>,
    /// What no key alone can say of its keys; a message has them, with their values, as they are named to it.
    pub check: fn(&Table, &dyn Fn(&str) -> String) -> std::result::Result<(), String>,
    /// The model of a recipe that is there already, in place of the stage.
    pub instead: fn(&Recipe, &str) -> Option<PathBuf>,
    /// At most, for a size.
    pub memory: fn(&Sizes, &str) -> Result<Need>,
    /// Floating-point operations for a size.
    pub flops: fn(&Sizes, &str) -> f64,
    pub body: fn(&mut dyn Host) -> Result,
}

/// A stage as a verb of the command line.
pub struct Verb {
    pub name: &'static str,
    pub about: &'static str,
    pub examples: &'static str,
    /// The sections whose keys are its flags.
    pub sections: &'static [Section],
    /// Flags that name files, besides the model, data and folder that all have.
    pub files: fn(Command) -> Command,
    /// Without --model it makes one.
    pub fresh: bool,
}

/// A model that is asked in the evaluation.
pub struct Shown {
    /// "prompted" of `S.prompted`
    pub name: &'static str,
    pub label: &'static str,
    /// What was done with it, for who reads the report first.
    pub what: &'static str,
    /// The same in every plot.
    pub colour: usize,
    /// Worked examples stand before each prompt.
    pub few_shot: bool,
}

/// What must be there before a stage can run.
#[derive(Debug, PartialEq)]
pub enum Needs {
    Text,
    RewardModel,
}

/// Who runs a stage: its verb, with what the command line names, or the pipeline, with what came before.
pub trait Host {
    /// The stage's keys, complete and in their ranges.
    fn keys(&self) -> &Table;
    /// The stage's own random numbers.
    fn rng(&self) -> Rng;
    /// The model to start from, ready to learn, with tokenizer and template, which `processor` then gives.
    /// `head`: the one that it must have, if not any.
    fn start(&mut self, setup: &Setup, bases: &mut BaseModels, head: Option<HeadKind>) -> Result<Model>;
    /// The reward model; it reads what the policy writes.
    fn reward_model(&mut self, setup: &Setup, bases: &mut BaseModels, policy: &Model) -> Result<Model>;
    fn processor(&self) -> &Processor;
    /// Blocks of pretraining text; `key` is what wants them.
    fn text(&mut self, key: &str) -> Result<Vec<Example>>;
    /// Demonstrations; for a reward model those that shall score 0 on average, if there are some.
    fn demonstrations(&mut self) -> Result<Vec<Example>>;
    /// Rankings to learn from, and those held out, if this stage is to measure itself.
    fn rankings(&mut self) -> Result<[Vec<Ranking>; 2]>;
    /// Prompts with room for so many tokens of completion.
    fn prompts(&mut self, room: usize) -> Result<Vec<Vec<u32>>>;
    /// What somebody else makes of each completion, by name: logged beside the reward, never learnt from.
    fn watch(&self, episodes: &[Episode]) -> Vec<(&'static str, Vec<f64>)>;
    /// All that can be wrong with the input was found right: the folder is made, or gone on with.
    fn begin(&mut self) -> Result;
    /// Refuses what the machine has no memory for, and says what of the data was cut.
    fn fits(&self, need: &Need) -> Result;
    /// How the loop saves, reports and stops.
    fn training(&self, save_every: usize) -> Run;
    /// What the log could not write, which ended the loop.
    fn log_failure(&self) -> Option<Failure>;
    /// A second model of the stage, in a folder of its own.
    fn save_beside(&self, name: &str, model: &Model) -> Result;
    /// Saves the model and marks the stage finished.
    fn finish(&mut self, model: &Model) -> Result;
    /// A figure for who asked for the stage: a line, or JSON.
    fn print(&self, line: &str, json: serde_json::Value);
}

/// The stage's keys as the method reads them.
fn config<C: Args + Serialize>(host: &dyn Host) -> C {
    keys::read("", host.keys()).expect("the host made sure of ranges")
}

/// What came of a loop.
fn outcome<T>(host: &dyn Host, result: std::result::Result<T, TrainError>) -> Result<T> {
    match host.log_failure() {
        Some(failure) => Err(failure),
        None => Ok(result?),
    }
}

fn lengths(examples: &[Example]) -> impl Iterator<Item = usize> {
    examples.iter().map(|e| e.tokens.len())
}

/// The most tokens that go through a model at a time: of one item at least, of a step at most.
fn micro_batch(budget: usize, batch: usize, lengths: impl Iterator<Item = usize>) -> usize {
    let longest = lengths.max().unwrap_or(0);
    budget.min(batch.saturating_mul(longest)).max(longest)
}

impl Stage {
    /// "S.sft", or "rm"
    pub fn of_size(&self, size: &str) -> String {
        if self.per_size { format!("{size}.{}", self.name) } else { self.name.to_string() }
    }

    /// Its keys for a size of a recipe.
    pub fn keys(&self, recipe: &Recipe, size: &str) -> Table {
        let mut table = recipe.table(self.section.name, size);
        self.zero.iter().for_each(|key| drop(table.insert(key.to_string(), toml::Value::Float(0.0))));
        table
    }
}

/// The sections of all methods, each once.
pub fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for &stage in STAGES {
        if sections.iter().all(|s| s.name != stage.section.name) {
            sections.push(stage.section);
        }
    }
    sections
}

/// The models that the evaluation asks, in the order in which they are told.
pub fn shown() -> impl Iterator<Item = &'static Shown> {
    STAGES.iter().flat_map(|stage| stage.shown)
}

/// Where a model stands among those of a run: in the order of the stages, small before large.
pub fn story_order(model: &str) -> (usize, String) {
    let (size, kind) = model.split_once('.').unwrap_or(("", model));
    (shown().position(|s| s.name == kind).unwrap_or(usize::MAX), size.to_string())
}

/// Of the stages that read rows.
#[derive(Args, Debug, Clone, Serialize)]
#[group(skip)]
struct Rows {
    /// Longer rows are cut to so many tokens, and counted; 0 = what the model holds
    #[arg(long, default_value_t = 0, value_parser = count(0, TOKENS))]
    context: usize,
    /// Strings of rows are turns: the prompt is what a user says, the answer the assistant's; the chat template writes
    /// them
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    chat: bool,
}

const ROWS: Section = Section::of::<Rows>("rows");

fn no_files(command: Command) -> Command {
    command
}

fn all_go_together(_: &Table, _: &dyn Fn(&str) -> String) -> std::result::Result<(), String> {
    Ok(())
}

fn nothing_instead(_: &Recipe, _: &str) -> Option<PathBuf> {
    None
}
