//! What is asked: use cases, splits that share no content, and what a right answer must have.

use super::closed::World;
use super::words::Word;
use std::ops::RangeInclusive;

/// What stands between a request and its answer. An answer follows it after one space.
pub const MARKER: &str = "\nAnswer:";

/// The ten use cases of InstructGPT (arXiv 2203.02155, table 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UseCase {
    Generation,
    OpenQa,
    Brainstorming,
    Chat,
    Rewrite,
    Summarization,
    Classification,
    Other,
    ClosedQa,
    Extract,
}

impl UseCase {
    pub const ALL: [UseCase; 10] = [
        UseCase::Generation,
        UseCase::OpenQa,
        UseCase::Brainstorming,
        UseCase::Chat,
        UseCase::Rewrite,
        UseCase::Summarization,
        UseCase::Classification,
        UseCase::Other,
        UseCase::ClosedQa,
        UseCase::Extract,
    ];
    /// Shares of the prompts in per cent, as in the paper.
    pub const SHARES: [f32; 10] = [45.6, 12.4, 11.2, 8.4, 6.6, 4.2, 3.5, 3.5, 2.6, 1.9];

    pub fn name(self) -> &'static str {
        [
            "generation",
            "open QA",
            "brainstorming",
            "chat",
            "rewrite",
            "summarization",
            "classification",
            "other",
            "closed QA",
            "extract",
        ][self as usize]
    }
}

/// What a prompt is for. Prompts of different splits never share their content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What stands on the world's web pages: the instruction-like text of the pretraining corpus.
    Web,
    Sft,
    Rm,
    /// Held-out prompts for the accuracy of the reward model.
    RmTest,
    Ppo,
    /// Held-out prompts for the evaluation of the policies.
    Test,
}

impl Split {
    pub const ALL: [Split; 6] = [Split::Web, Split::Sft, Split::Rm, Split::RmTest, Split::Ppo, Split::Test];
    /// Of 100 contents, how many fall to each split.
    const SHARES: [u64; 6] = [8, 18, 28, 8, 28, 10];

    pub(super) fn name(self) -> &'static str {
        ["web", "sft", "rm", "rm-test", "ppo", "test"][self as usize]
    }

    /// The split that owns a content.
    pub(super) fn of(content: u64) -> Split {
        let mut left = content % 100;
        for (split, share) in Split::ALL.into_iter().zip(Split::SHARES) {
            if left < share {
                return split;
            }
            left -= share;
        }
        unreachable!("the shares add up to 100")
    }
}

/// What a request demands beside its task. Courtesies do not count as words of the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constraint {
    /// "Use the word river."
    Include(&'static str),
    /// "Do not say river."
    Exclude(&'static str),
    /// "Use four words."
    Words(usize),
    /// "Start with today."
    First(&'static str),
    /// "Use a full sentence."
    FullSentence,
}

impl Constraint {
    pub fn text(self) -> String {
        match self {
            Constraint::Include(word) => format!("Use the word {word}."),
            Constraint::Exclude(word) => format!("Do not say {word}."),
            Constraint::Words(1) => "Use one word.".to_string(),
            Constraint::Words(n) => format!("Use {} words.", super::words::NUMBERS[n - 1]),
            Constraint::First(word) => format!("Start with {word}."),
            Constraint::FullSentence => "Use a full sentence.".to_string(),
        }
    }

    /// Does an answer (without its courtesies) obey?
    pub fn holds(self, world: &World, body: &[Word]) -> bool {
        let get = |word| world.lexicon.get(word);
        let t = &world.terms;
        match self {
            Constraint::Include(word) => body.contains(&get(word)),
            Constraint::Exclude(word) => !body.contains(&get(word)),
            Constraint::Words(n) => body.len() == n,
            Constraint::First(word) => body.iter().find(|w| ![t.a, t.an, t.the].contains(w)) == Some(&get(word)),
            Constraint::FullSentence => world.claim(body).is_some(),
        }
    }
}

/// What a right answer must have: all that the gold score knows of a prompt beside its constraint.
#[derive(Clone, Debug)]
pub enum Rubric {
    /// Well-formed sentences, this many, that speak of all topics.
    Write { topics: Vec<Word>, sentences: RangeInclusive<usize> },
    /// A true statement about the subject.
    Tell { subject: Word },
    /// The true value of a fact and no other value.
    Fact { fact: usize },
    /// So many different members, and nothing else.
    List { members: Vec<Word>, count: usize },
    /// All wanted words and none of their rivals; with a passage, no content from outside it.
    Say { wanted: Vec<Word>, rivals: Vec<Word>, passage: bool },
    /// Word for word.
    Exact { target: Vec<Word> },
}

/// A request, what a right answer needs, and answers of people who understood it, forgot a part, or got it wrong.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub use_case: UseCase,
    /// What the user wrote, the constraint included.
    pub request: String,
    pub constraint: Option<Constraint>,
    pub rubric: Rubric,
    /// More words than this are rambling (courtesies not counted).
    pub budget: usize,
    /// Right answers, plain in style; never empty.
    pub good: Vec<String>,
    /// Right but for the constraint; empty without one.
    pub careless: Vec<String>,
    /// Wrong: the misconception, the wrong topic, the wrong half of the passage; never empty.
    pub wrong: Vec<String>,
    /// The words of the request, in order.
    pub(super) words: Vec<Word>,
}

impl Prompt {
    /// What the model is given: the completion starts right at its end, with a space.
    pub fn text(&self) -> String {
        format!("{}{MARKER}", self.request)
    }
}

/// A prompt as a task hands it over, with its content: what makes it the same question in other words.
pub(super) struct Draft {
    pub content: String,
    pub request: String,
    pub constraint: Option<Constraint>,
    pub rubric: Rubric,
    pub budget: usize,
    pub good: Vec<String>,
    pub careless: Vec<String>,
    pub wrong: Vec<String>,
}
