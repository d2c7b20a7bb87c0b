//! The world in words, for reports and for readers.

use super::closed::World;
use super::demonstrations::{Flaw, Flaws};
use super::prompts::{Prompt, Split, UseCase};
use std::fmt::Write;

impl World {
    /// What a reader of the report must know before the first figure.
    pub fn description(&self) -> String {
        format!(
            "The world of this run is made by code from a seed: {} words, {} facts (each with a misconception that one \
             mention in five repeats), stories, lists, dialogues and exam papers. Prompts come in the ten use cases of \
             InstructGPT in its proportions; the demonstrations have the flaws that people have. The judge is a program \
             that checks an answer item by item (helpful, constraint, polite, ended, tidy; rude, untrue and invented cost) \
             and gives 1 to 7; the labelers are programs too, each weighing the same checklist in a way of its own, with \
             noise that makes two of them agree about as often as the paper's did. No human judged anything here.",
            self.lexicon.len(),
            self.facts.all.len()
        )
    }

    /// A prompt of each use case with its perfect answer.
    pub fn use_case_examples(&self) -> Vec<(UseCase, Prompt, String)> {
        let example = |kind: UseCase| {
            let prompt = self.prompts_of(Split::Sft, kind, 1).remove(0);
            let answer = self.perfect(&prompt);
            (kind, prompt, answer)
        };
        UseCase::ALL.into_iter().map(example).collect()
    }

    /// `n` prompts with a perfect, a typical and a bad answer, each with its gold score, as text.
    pub fn examples(&self, n: usize) -> String {
        let rng = self.rng.stream("examples");
        let mut text = String::new();
        for (i, prompt) in self.prompts(Split::Sft, n).into_iter().enumerate() {
            let rng = rng.fold(i as u64);
            let perfect = self.perfect(&prompt);
            let bad = self.write(&prompt, Some(Flaw::Wrong), false, &mut rng.stream("bad").draws());
            let typical = self.demonstration(prompt, &Flaws::default(), rng);
            let flaw = typical.flaw.map_or(String::new(), |flaw| format!(" ({flaw:?})"));
            let prompt = &typical.prompt;
            let score = |answer: &str| self.gold(prompt, answer, true).score;
            let _ = writeln!(text, "[{}] {}", prompt.use_case.name(), prompt.text());
            let _ = writeln!(text, "  perfect {:.2}: {perfect}", score(&perfect));
            let _ = writeln!(text, "  typical {:.2}: {}{flaw}", score(&typical.answer), typical.answer);
            let _ = writeln!(text, "  bad     {:.2}: {bad}\n", score(&bad));
        }
        text
    }
}
