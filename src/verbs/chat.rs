//! `rlhf chat`: a conversation in the terminal, streamed.

use crate::cli::Common;
use crate::error::Result;
use crate::loading;
use crate::range::{TOKENS, count, positive, within};
use crate::rows::data_failure;
use crate::run::library_failure;
use clap::Args;
use kernels::{Rng, Sampling};
use model::{GenerateConfig, HeadKind, generate};
use rlhf_core::data::{Content, Message, Role};
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf chat --model runs/mini/S.ppo_ptx
  echo 'What do cows eat?' | rlhf chat --model runs/mini/L.ppo_ptx --temperature 0.5

/new forgets what was said, /quit or Ctrl-D ends.")]
pub struct ChatArgs {
    /// A model: a directory, a .gguf file, or org/name on the hub
    #[arg(long)]
    model: PathBuf,
    /// How products multiply: f32, or bf16, which reads half the bytes
    #[arg(long, default_value = "f32", value_parser = crate::cli::precision, value_name = "f32|bf16")]
    precision: kernels::Precision,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 128, value_parser = count(1, TOKENS))]
    max_new: usize,
    /// 0 = always the likeliest token
    #[arg(long, default_value_t = 0.7, value_parser = within::<f32>(0.0, 1000.0))]
    temperature: f32,
    /// Only the likeliest tokens that together have this probability; 1 = all
    #[arg(long, default_value_t = 1.0, value_parser = positive::<f32>(1.0))]
    top_p: f32,
}

pub fn run(args: &ChatArgs, common: &Common) -> Result {
    let device = common.open_device()?;
    let opened = loading::open(&args.model, HeadKind::Lm, &device)?;
    let codec = opened.codec()?;
    let context = opened.loaded.config().context;
    let max_new = args.max_new.min(context / 2);
    let sampling = Sampling { temperature: args.temperature, top_k: 0, top_p: args.top_p };
    let config = GenerateConfig { max_new, sampling, eos: codec.ends.clone(), batch: 1 };
    let rng = Rng::new(common.seed()).stream("chat");
    let weights = opened.loaded.params.clone().multiply_in(args.precision).decoding();
    let mut said: Vec<Message> = Vec::new();
    let person = std::io::stdin().is_terminal();
    for turn in 0u64.. {
        if person {
            eprint!("> ");
        }
        let mut line = String::new();
        if !matches!(std::io::stdin().lock().read_line(&mut line), Ok(1..)) {
            break;
        }
        match line.trim() {
            "" => continue,
            "/quit" => break,
            "/new" => {
                said.clear();
                continue;
            }
            words => said.push(Message::new(Role::User, words)),
        }
        let prompt = codec.prompt_of(&Content::from(said.clone())).map_err(data_failure)?;
        let prompt = codec.with_room(prompt, max_new);
        if let Some(report) = codec.cut_report() {
            eprintln!("{report}; /new starts afresh");
        }
        let mut stream = codec.tokenizer.stream(true);
        let mut answer = String::new();
        let eos = config.eos.clone();
        generate(&opened.loaded.transformer, &weights, &[prompt], &config, rng.fold(turn), None, |_, id| {
            if !eos.contains(&id) {
                let piece = stream.push(id);
                print!("{piece}");
                let _ = std::io::stdout().flush();
                answer.push_str(&piece);
            }
        })
        .map_err(library_failure)?;
        println!("{}", stream.finish());
        said.push(Message::new(Role::Assistant, answer.trim()));
    }
    Ok(())
}
