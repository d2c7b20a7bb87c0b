//! All text that a run uses, made by the world or read from files before the first stage. The same recipe gives the
//! same datasets, so that nothing of them needs saving.

use super::judges::Judges;
use super::prompt::Prompt;
use crate::config::Recipe;
use crate::error::Failure;
use rlhf_core::data::{Content, Row, Template};
use rlhf_core::world;

pub struct Datasets {
    pub text: Vec<String>,
    pub heldout_text: Vec<String>,
    pub demonstrations: Vec<Row>,
    pub heldout_demonstrations: Vec<Row>,
    pub ppo_prompts: Vec<Prompt>,
    pub eval_prompts: Vec<Prompt>,
    pub preferences: Preferences,
    /// Who can judge any answer: only the closed world has such judges.
    pub judges: Option<Judges>,
    /// How a conversation becomes a prompt for these models.
    pub template: Template,
}

/// Where rankings come from.
pub enum Preferences {
    /// Our models answer these prompts and simulated labelers rank the answers.
    ToRank { train: Vec<Prompt>, heldout: Vec<Prompt> },
    /// People ranked answers of others: (training, held-out sets by name).
    Given { train: Vec<Row>, heldout: Vec<(String, Vec<Row>)> },
}

/// Made by the world; `template`: that of the models, if they are there already.
pub fn of_world(recipe: &Recipe, template: Option<Template>) -> Datasets {
    use world::Split;
    let judges = Judges::new(recipe.seed);
    let world = &judges.world;
    let sizes = &recipe.world;
    let prompts = |split, n| -> Vec<Prompt> { world.prompts(split, n).into_iter().map(|p| prompt(world, p)).collect() };
    let demonstrations = world.demonstrations(sizes.demonstrations, &world::Flaws::default());
    Datasets {
        text: world.corpus("train", sizes.documents),
        heldout_text: world.corpus("heldout", (sizes.documents / 20).clamp(50, 500)),
        demonstrations: demonstrations.iter().map(demonstration).collect(),
        heldout_demonstrations: Vec::new(),
        ppo_prompts: prompts(Split::Ppo, sizes.ppo_prompts),
        eval_prompts: prompts(Split::Test, sizes.eval_prompts),
        preferences: Preferences::ToRank {
            train: prompts(Split::Rm, sizes.ranked_prompts),
            heldout: prompts(Split::RmTest, sizes.ranked_prompts.div_ceil(5)),
        },
        judges: Some(judges),
        template: template.unwrap_or_else(Template::world),
    }
}

fn demonstration(shown: &world::Demonstration) -> Row {
    Row::Demonstration { prompt: Content::Text(shown.prompt.text()), completion: Content::Text(shown.completion()) }
}

fn prompt(world: &world::World, task: world::Prompt) -> Prompt {
    let content = Content::Text(task.text());
    Prompt { content, text: task.text(), shots: world.few_shot_prefix(task.use_case), task: Some(task) }
}

/// The failure for a stage that wants more than the recipe or the data give.
pub fn too_little(what: &str) -> Failure {
    Failure::data(format!("{what}; give more data, or a smaller data.holdout"))
}
