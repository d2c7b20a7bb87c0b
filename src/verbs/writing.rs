//! What `generate` and `chat` share: the model that writes, how tokens are drawn, and where a completion stops.

use super::ModelArg;
use crate::error::{Failure, Result};
use crate::training::loading::{self, Opened};
use clap::Args;
use kernels::{Device, Sampling};
use rlhf_core::data::{Content, Message, Role};
use rlhf_core::range::{TOKENS, count, positive, within};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct Writing {
    #[command(flatten)]
    model: ModelArg,
    /// A tokenizer file, for a model directory that has none
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::session::precision, value_name = "f32|bf16")]
    pub precision: kernels::Precision,
    /// 0 = always the likeliest token
    #[arg(long, default_value_t = 0.7, value_parser = within::<f32>(0.0, 1000.0), allow_negative_numbers = true)]
    temperature: f32,
    /// Only the K likeliest tokens; 0 = all
    #[arg(long, default_value_t = 0, value_parser = count(0, TOKENS))]
    top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1 = all
    #[arg(long, default_value_t = 0.9, value_parser = positive::<f32>(1.0))]
    top_p: f32,
    /// Always the likeliest token
    #[arg(long)]
    greedy: bool,
    /// What the system says before the user does; it needs a chat template
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// A completion ends before this text; give it several times for several
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl Writing {
    pub fn open(&self, device: &Device) -> Result<Opened> {
        loading::open_to_write(self.model.path(), self.tokenizer.as_deref(), device, self.precision)
    }

    /// How tokens are drawn.
    pub fn sampling(&self) -> Result<Sampling> {
        let Writing { top_k, top_p, .. } = *self;
        let temperature = if self.greedy { 0.0 } else { self.temperature };
        if temperature != 0.0 && temperature < 1e-4 {
            return Err(Failure::usage(format!(
                "--temperature {temperature}: it is 0 (greedy), or from 0.0001 to 1000"
            )));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Failure::usage("--stop: an empty text is everywhere; name one that ends an answer"));
        }
        Ok(Sampling { temperature, top_k, top_p })
    }

    /// The messages that a conversation begins with.
    pub fn opening(&self) -> Vec<Message> {
        self.system.iter().map(|text| Message::new(Role::System, text.as_str())).collect()
    }

    /// A text as what the user says, after the system.
    pub fn asked(&self, prompt: Content) -> Content {
        match prompt {
            Content::Text(text) => {
                self.opening().into_iter().chain([Message::new(Role::User, text)]).collect::<Vec<_>>().into()
            }
            messages => messages,
        }
    }

    /// Are there texts that end a completion?
    pub fn stops(&self) -> bool {
        !self.stop.is_empty()
    }

    /// A completion that is about to be written.
    pub fn completion(&self) -> Completion<'_> {
        Completion { stops: &self.stop, text: String::new(), shown: 0, stopped: false }
    }
}

/// Text that grows, up to the first of the texts that end it.
pub struct Completion<'a> {
    stops: &'a [String],
    pub text: String,
    shown: usize,
    /// Has one of them come?
    pub stopped: bool,
}

impl Completion<'_> {
    /// Adds a piece. What is certain to belong to it now, and was not before.
    pub fn push(&mut self, piece: &str) -> &str {
        self.text.push_str(piece);
        let stop = self.stops.iter().filter_map(|stop| Some(self.shown + self.text[self.shown..].find(stop)?)).min();
        let certain = match stop {
            Some(at) => {
                self.text.truncate(at);
                self.stopped = true;
                at
            }
            None => {
                self.text.len() - self.stops.iter().map(|stop| begun(&self.text[self.shown..], stop)).max().unwrap_or(0)
            }
        };
        let from = std::mem::replace(&mut self.shown, certain);
        &self.text[from..certain]
    }

    /// What was held back, as it might have been the beginning of a text that ends it.
    pub fn finish(&mut self) -> &str {
        let from = std::mem::replace(&mut self.shown, self.text.len());
        &self.text[from..]
    }
}

/// Bytes at the end of `text` that `stop` begins with.
fn begun(text: &str, stop: &str) -> usize {
    let beginnings = stop.char_indices().map(|(at, _)| at).filter(|&at| at > 0);
    beginnings.filter(|&at| text.ends_with(&stop[..at])).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_ends_before_the_first_stop_and_shows_nothing_of_it() {
        let stops = ["\nUser:".to_string(), "###".into()];
        let of = || Completion { stops: &stops, text: String::new(), shown: 0, stopped: false };
        let mut one = of();
        let shown: Vec<String> =
            ["Grass.", "\n", "Us", "er: and"].iter().map(|piece| one.push(piece).to_string()).collect();
        assert_eq!((shown.concat().as_str(), one.text.as_str(), one.stopped), ("Grass.", "Grass.", true));
        let mut two = of();
        let shown: Vec<String> =
            ["a\nUs", "ed #", "# b", " #"].iter().map(|piece| two.push(piece).to_string()).collect();
        assert_eq!((shown.concat().as_str(), two.stopped), ("a\nUsed ## b ", false));
        assert_eq!(two.finish(), "#");
        let mut three = of();
        assert_eq!(three.push("a###b\nUser:"), "a");
        assert_eq!(three.text, "a");
    }
}
