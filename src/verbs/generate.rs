//! `rlhf generate`: text or ids out of a model.

use crate::error::{Failure, Result};
use crate::rows;
use crate::session::Common;
use crate::terminal::json_to_stdout;
use crate::training::loading::{self, Opened};
use crate::training::memory::{self, Reader};
use clap::Args;
use kernels::{Device, Rng, Sampling};
use model::{GenerateConfig, Generated, generate};
use rlhf_core::data::{Content, Role};
use rlhf_core::range::{TOKENS, count, positive, within};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf generate --model runs/mini/S.ppo_ptx --prompt 'What is the capital of France?
Answer:' --max-new 24
  rlhf generate --model DIR --prompts prompts.txt --n 4 --temperature 0.8 --json
  rlhf generate --model DIR --ids 1,403,407 --greedy --max-new 100")]
pub struct GenerateArgs {
    /// A model: a directory, a .gguf file, or org/name on the hub
    #[arg(long)]
    model: PathBuf,
    /// A tokenizer file, for a model directory that has none
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::session::precision, value_name = "f32|bf16")]
    precision: kernels::Precision,
    /// Text to go on from
    #[arg(long, conflicts_with_all = ["prompts", "ids"], required_unless_present_any = ["prompts", "ids"])]
    prompt: Option<String>,
    /// A file of prompts: .txt with one a line, or JSONL rows with a prompt
    #[arg(long, conflicts_with = "ids")]
    prompts: Option<PathBuf>,
    /// Token ids to go on from
    #[arg(long, value_delimiter = ',')]
    ids: Option<Vec<u32>>,
    /// --prompt, and each line of a .txt, is what a user says: the chat template is put around it
    #[arg(long, conflicts_with = "ids")]
    chat: bool,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 64, value_parser = count(1, TOKENS))]
    max_new: usize,
    #[arg(long, default_value_t = 1.0, value_parser = within::<f32>(0.0, 1000.0))]
    temperature: f32,
    /// Only the K likeliest tokens; 0 = all
    #[arg(long, default_value_t = 0, value_parser = count(0, TOKENS))]
    top_k: usize,
    /// Only the likeliest tokens that together have this probability; 1 = all
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f32>(1.0))]
    top_p: f32,
    /// Always the likeliest token
    #[arg(long)]
    greedy: bool,
    /// Answers to each prompt
    #[arg(long, default_value_t = 1, value_parser = count(1, 1_000_000))]
    n: usize,
}

/// Answers that are written at a time, at most.
const MOST: usize = 64;

pub fn run(args: &GenerateArgs, common: &Common) -> Result {
    let sampling = sampling(if args.greedy { 0.0 } else { args.temperature }, args.top_k, args.top_p)?;
    let device = common.open_device()?;
    let opened = loading::open_to_write(&args.model, args.tokenizer.as_deref(), &device, args.precision)?;
    let (prompts, eos) = prompts(args, &opened)?;
    let slots = slots(args, &opened, &prompts, &device)?;
    let repeated: Vec<Vec<u32>> = prompts.iter().flat_map(|p| std::iter::repeat_n(p.clone(), args.n)).collect();
    let config = GenerateConfig { max_new_tokens: args.max_new, sampling, eos_ids: eos, batch: slots };
    let rng = Rng::new(common.seed()).stream("generate");
    let weights = opened.loaded.params.clone().multiply_in(args.precision).decoding();
    let made = generate(&opened.loaded.net, &weights, &repeated, &config, rng, None, |_, _| ())?;
    if common.json {
        let rows: Vec<Value> = repeated.iter().zip(&made).map(|(prompt, g)| row(&opened, prompt, g)).collect();
        println!("{}", json_to_stdout(&json!({ "generations": rows })));
    } else {
        made.iter().for_each(|g| println!("{}", text(&opened, g)));
    }
    Ok(())
}

/// How many answers are written at a time: 64, or as many as there is memory for.
fn slots(args: &GenerateArgs, opened: &Opened, prompts: &[Vec<u32>], device: &Device) -> Result<usize> {
    let (answers, longest) = (prompts.len().saturating_mul(args.n), prompts.iter().map(Vec::len).max().unwrap_or(0));
    let reader = Reader::of(&opened.path, device)?;
    let need = |slots| reader.writing(answers, slots, longest + args.max_new, args.precision);
    let mut slots = MOST.min(answers).max(1);
    while slots > 1 && memory::check(&need(slots), device).is_err() {
        slots /= 2;
    }
    memory::check(&need(slots), device)?;
    Ok(slots)
}

/// How tokens are drawn, of flags that are within their ranges.
pub fn sampling(temperature: f32, top_k: usize, top_p: f32) -> Result<Sampling> {
    if temperature != 0.0 && !(1e-4..=1e4).contains(&temperature) {
        return Err(Failure::usage(format!("--temperature {temperature}: it is 0 (greedy), or from 0.0001 to 10000")));
    }
    if !(top_p > 0.0 && top_p <= 1.0) {
        return Err(Failure::usage(format!("--top-p {top_p}: it is above 0 and at most 1")));
    }
    Ok(Sampling { temperature, top_k, top_p })
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

/// Messages go through the chat template, and with --chat so does text.
fn encode(args: &GenerateArgs, opened: &Opened, prompts: Vec<Content>) -> Result<(Vec<Vec<u32>>, Vec<u32>)> {
    let processor = opened.processor()?;
    let said = |prompt: Content| if args.chat { prompt.said_by(Role::User) } else { prompt };
    let prompts: Vec<Content> = prompts.into_iter().map(said).collect();
    let chat = prompts.iter().any(|prompt| matches!(prompt, Content::Messages(_)));
    let ids = prompts.iter().map(|prompt| processor.prompt_of(prompt).map_err(Failure::from));
    let ids = ids.collect::<Result<_>>()?;
    if let Some(report) = processor.cut_report() {
        eprintln!("{report}");
    }
    Ok((ids, if chat { processor.eos_ids.clone() } else { opened.eos() }))
}

fn text(opened: &Opened, generated: &Generated) -> String {
    match &opened.tokenizer {
        Some(tokenizer) => tokenizer.decode(without_end(generated)),
        None => generated.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
    }
}

fn without_end(generated: &Generated) -> &[u32] {
    &generated.tokens[..generated.tokens.len() - usize::from(generated.ended)]
}

fn row(opened: &Opened, prompt: &[u32], generated: &Generated) -> Value {
    let decode = |ids: &[u32]| opened.tokenizer.as_ref().map(|t| t.decode(ids));
    json!({
        "prompt": decode(prompt),
        "prompt_ids": prompt,
        "text": decode(without_end(generated)),
        "ids": generated.tokens,
        "logprobs": generated.logprobs,
        "ended": generated.ended,
    })
}
