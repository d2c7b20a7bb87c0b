//! `rlhf chat`: a conversation in the terminal, streamed.

use super::generate::sampling;
use crate::error::{Failure, Result};
use crate::session::Common;
use crate::terminal::to_stdout;
use crate::training::loading;
use crate::training::memory::{self, Reader};
use clap::Args;
use kernels::Rng;
use model::{GenerateConfig, generate};
use rlhf_core::data::{Content, Message, Role};
use rlhf_core::range::{TOKENS, count, positive, within};
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
    #[arg(long, default_value = "f32", value_parser = crate::session::precision, value_name = "f32|bf16")]
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
    let sampling = sampling(args.temperature, 0, args.top_p)?;
    let device = common.open_device()?;
    let opened = loading::open_to_write(&args.model, None, &device, args.precision)?;
    let processor = opened.processor()?;
    let context = opened.loaded.config().context;
    let max_new = args.max_new.min(context / 2);
    let reader = Reader::of(&opened.path, &device)?;
    let config = GenerateConfig { max_new_tokens: max_new, sampling, eos_ids: processor.eos_ids.clone(), batch: 1 };
    let rng = Rng::new(common.seed()).stream("chat");
    let weights = opened.loaded.params.clone().multiply_in(args.precision).decoding();
    let mut said: Vec<Message> = Vec::new();
    let person = std::io::stdin().is_terminal();
    for turn in 0u64.. {
        if person {
            eprint!("> ");
        }
        let Some(line) = read_line(turn + 1)? else { break };
        match line.trim() {
            "" => continue,
            "/quit" => break,
            "/new" => {
                said.clear();
                continue;
            }
            words => said.push(Message::new(Role::User, words)),
        }
        let prompt = processor.prompt_of(&Content::from(said.clone()))?;
        let prompt = processor.with_room(prompt, max_new);
        if let Some(report) = processor.cut_report() {
            eprintln!("{report}; /new starts afresh");
        }
        memory::check(&reader.writing(1, 1, prompt.len() + max_new, args.precision), &device)?;
        let mut stream = processor.tokenizer.stream(true);
        let mut answer = String::new();
        let eos = config.eos_ids.clone();
        generate(&opened.loaded.net, &weights, &[prompt], &config, rng.fold(turn), None, |_, id| {
            if !eos.contains(&id) {
                let piece = stream.push(id);
                print!("{}", to_stdout(&piece));
                let _ = std::io::stdout().flush();
                answer.push_str(&piece);
            }
        })?;
        println!("{}", stream.finish());
        said.push(Message::new(Role::Assistant, answer.trim()));
    }
    Ok(())
}

/// The next line of standard input; none at its end.
fn read_line(number: u64) -> Result<Option<String>> {
    let mut line = Vec::new();
    let wrong = |what: String| Failure::data(format!("standard input: line {number} {what}"));
    match std::io::stdin().lock().read_until(b'\n', &mut line) {
        Ok(0) => Ok(None),
        Ok(_) => String::from_utf8(line).map(Some).map_err(|e| {
            let byte = e.as_bytes()[e.utf8_error().valid_up_to()];
            wrong(format!("is not UTF-8 (byte {byte:#04x}); convert it, such as by iconv -f latin1 -t utf-8"))
        }),
        Err(e) => Err(wrong(format!("cannot be read: {e}"))),
    }
}
