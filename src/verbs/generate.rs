//! `rlhf generate`: text or ids out of a model.

use super::writing::Writing;
use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Common;
use crate::terminal::json_to_stdout;
use crate::training::loading::Opened;
use crate::training::memory::{self, Reader};
use clap::Args;
use kernels::{Device, Rng};
use model::{GenerateConfig, Generated, generate};
use rlhf_core::data::Content;
use rlhf_core::range::{TOKENS, count};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf generate runs/mini/S.ppo_ptx --chat --prompt 'What is the capital of France?' --max-new 24
  rlhf generate DIR --prompts prompts.txt --n 4 --temperature 1 --top-p 1 --json
  rlhf generate DIR --ids 1,403,407 --greedy --max-new 100

A model that brings a chat template is asked as its user would; --raw has it go on from the text as it stands.")]
pub struct GenerateArgs {
    #[command(flatten)]
    writing: Writing,
    /// Text to go on from
    #[arg(long, conflicts_with_all = ["prompts", "ids"], required_unless_present_any = ["prompts", "ids"])]
    prompt: Option<String>,
    /// A file of prompts: .txt with one a line, or JSONL rows with a prompt
    #[arg(long, conflicts_with = "ids")]
    prompts: Option<PathBuf>,
    /// Token ids to go on from
    #[arg(long, value_delimiter = ',')]
    ids: Option<Vec<u32>>,
    /// --prompt, and each line of a .txt, is what a user says, though the model brings no chat template: ours is put
    /// around it
    #[arg(long, conflicts_with = "ids")]
    chat: bool,
    /// --prompt, and each line of a .txt, is text to go on from, though the model brings a chat template
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    raw: bool,
    /// Longest completion in tokens
    #[arg(long, alias = "max-new-tokens", default_value_t = 64, value_parser = count(1, TOKENS))]
    max_new: usize,
    /// Answers to each prompt
    #[arg(long, default_value_t = 1, value_parser = count(1, 1_000_000))]
    n: usize,
}

/// Answers that are written at a time, at most.
const MOST: usize = 64;

pub fn run(args: &GenerateArgs, common: &Common) -> Result {
    let writing = &args.writing;
    let sampling = writing.sampling()?;
    let device = common.open_device()?;
    let opened = writing.open(&device)?;
    let (prompts, eos) = prompts(args, &opened)?;
    let slots = slots(args, &opened, &prompts, &device)?;
    let repeated: Vec<Vec<u32>> = prompts.iter().flat_map(|p| std::iter::repeat_n(p.clone(), args.n)).collect();
    let config = GenerateConfig { max_new_tokens: args.max_new, sampling, eos_ids: eos, batch: slots };
    let rng = Rng::new(common.seed()).stream("generate");
    let weights = opened.loaded.params.clone().multiply_in(writing.precision).decoding();
    let mut texts: Vec<_> = repeated.iter().map(|_| writing.completion()).collect();
    let tokenizer = opened.tokenizer.as_ref().filter(|_| writing.stops()); // else nobody reads along
    let mut streams: Vec<_> = repeated.iter().map(|_| tokenizer.map(|t| t.stream(true))).collect();
    let made = generate(&opened.loaded.net, &weights, &repeated, &config, rng, None, |i, id| {
        if let Some(stream) = &mut streams[i] {
            texts[i].push(&stream.push(id));
        }
        !texts[i].stopped
    })?;
    let stops = texts.into_iter().map(|text| text.stopped.then_some(text.text));
    let made: Vec<Made> = made.into_iter().zip(stops).map(|(tokens, stopped)| Made { tokens, stopped }).collect();
    if common.json {
        let rows: Vec<Value> = repeated.iter().zip(&made).map(|(prompt, made)| row(&opened, prompt, made)).collect();
        println!("{}", json_to_stdout(&json!({ "generations": rows })));
    } else {
        made.iter().for_each(|made| println!("{}", text(&opened, made)));
    }
    Ok(())
}

/// What was written, and its text where a text of --stop ended it.
struct Made {
    tokens: Generated,
    stopped: Option<String>,
}

/// How many answers are written at a time: 64, or as many as there is memory for.
fn slots(args: &GenerateArgs, opened: &Opened, prompts: &[Vec<u32>], device: &Device) -> Result<usize> {
    let (answers, longest) = (prompts.len().saturating_mul(args.n), prompts.iter().map(Vec::len).max().unwrap_or(0));
    let reader = Reader::of(&opened.path, device)?;
    let need = |slots| reader.writing(answers, slots, longest + args.max_new, args.writing.precision);
    let mut slots = MOST.min(answers).max(1);
    while slots > 1 && memory::check(&need(slots), device).is_err() {
        slots /= 2;
    }
    memory::check(&need(slots), device)?;
    Ok(slots)
}

/// The prompts as ids, each within the context, and the tokens that end an answer to them.
fn prompts(args: &GenerateArgs, opened: &Opened) -> Result<(Vec<Vec<u32>>, Vec<u32>)> {
    let config = opened.loaded.config();
    let (prompts, ends) = match (&args.ids, &args.prompts, &args.prompt) {
        (Some(ids), _, _) => (vec![ids.clone()], opened.eos()),
        (_, Some(file), _) => encode(args, opened, rows::prompts(file)?)?,
        (_, _, Some(prompt)) => encode(args, opened, vec![Content::from(prompt.as_str())])?,
        _ => unreachable!("clap requires one of them"),
    };
    for ids in &prompts {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= config.vocab) {
            return Err(Failure::usage(format!("token id {id} is not below the vocabulary of {}", config.vocab)));
        }
        if ids.is_empty() || ids.len() >= config.context {
            return Err(Failure::usage(format!(
                "a prompt has {} tokens; the model reads 1 to {} before it answers",
                ids.len(),
                config.context - 1
            )));
        }
        let room = config.context - ids.len();
        if args.max_new > room {
            return Err(Failure::usage(format!(
                "--max-new {}: the model holds {} tokens, and a prompt has {}; ask for at most {room} new ones",
                args.max_new,
                config.context,
                ids.len()
            )));
        }
    }
    Ok((prompts, ends))
}

/// Messages go through the chat template, and so does text, as what a user says, where the model brings one.
fn encode(args: &GenerateArgs, opened: &Opened, prompts: Vec<Content>) -> Result<(Vec<Vec<u32>>, Vec<u32>)> {
    let processor = opened.processor()?;
    let asked = args.chat || args.writing.system.is_some() || processor.template.is_models() && !args.raw;
    let said = |prompt: Content| if asked { args.writing.asked(prompt) } else { prompt };
    let prompts: Vec<Content> = prompts.into_iter().map(said).collect();
    let chat = prompts.iter().any(|prompt| matches!(prompt, Content::Messages(_)));
    let ids = prompts.iter().map(|prompt| processor.prompt_of(prompt).map_err(Failure::from));
    let ids = ids.collect::<Result<_>>()?;
    if let Some(report) = processor.cut_report() {
        eprintln!("{report}");
    }
    Ok((ids, if chat { processor.eos_ids.clone() } else { opened.eos() }))
}

fn text(opened: &Opened, made: &Made) -> String {
    let ids = made.tokens.tokens.iter().map(u32::to_string);
    made.text(opened).unwrap_or_else(|| ids.collect::<Vec<_>>().join(","))
}

impl Made {
    /// None without a tokenizer.
    fn text(&self, opened: &Opened) -> Option<String> {
        let tokens = &self.tokens.tokens[..self.tokens.tokens.len() - usize::from(self.tokens.ended)];
        self.stopped.clone().or_else(|| Some(opened.tokenizer.as_ref()?.decode(tokens)))
    }
}

fn row(opened: &Opened, prompt: &[u32], made: &Made) -> Value {
    json!({
        "prompt": opened.tokenizer.as_ref().map(|t| t.decode(prompt)),
        "prompt_ids": prompt,
        "text": made.text(opened),
        "ids": made.tokens.tokens,
        "logprobs": made.tokens.logprobs,
        "ended": made.tokens.ended || made.stopped.is_some(),
    })
}
