//! `rlhf chat`: a conversation in the terminal, streamed.

use super::writing::Writing;
use crate::error::{Failure, Result};
use crate::session::Common;
use crate::terminal::to_stdout;
use crate::training::memory::{self, Reader};
use clap::Args;
use kernels::Rng;
use model::{GenerateConfig, generate};
use rlhf_core::data::{Content, Message, Role};
use rlhf_core::range::{TOKENS, count};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{BufRead, IsTerminal, Write};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf chat runs/mini/S.ppo_ptx
  rlhf chat runs/mini/L.ppo_ptx --system 'Answer in one word.'
  echo 'What do cows eat?' | rlhf chat runs/mini/L.ppo_ptx --greedy

/help says what else can be typed. Ctrl-D ends.")]
pub struct ChatArgs {
    #[command(flatten)]
    writing: Writing,
    /// Longest completion in tokens
    #[arg(long, alias = "max-new-tokens", default_value_t = 128, value_parser = count(1, TOKENS))]
    max_new: usize,
}

const HELP: &str = "/new          forget what was said
/system TEXT  forget it, and have the system say TEXT first
/quit         end; so does Ctrl-D
A line that ends in \\ goes on in the next; the arrow keys edit and go back.";

pub fn run(args: &ChatArgs, common: &Common) -> Result {
    let writing = &args.writing;
    let sampling = writing.sampling()?;
    let device = common.open_device()?;
    let opened = writing.open(&device)?;
    let processor = opened.processor()?;
    let max_new = args.max_new.min(opened.loaded.config().context / 2);
    let reader = Reader::of(&opened.path, &device)?;
    let eos_ids = processor.eos_ids.clone();
    let config = GenerateConfig { max_new_tokens: max_new, sampling, eos_ids: eos_ids.clone(), batch: 1 };
    let rng = Rng::new(common.seed()).stream("chat");
    let weights = opened.loaded.params.clone().multiply_in(writing.precision).decoding();
    let mut said = writing.opening();
    let mut lines = Lines::open()?;
    if lines.editor.is_some() && !common.quiet {
        eprintln!("{}: /help says what can be typed, Ctrl-D ends", opened.path.display());
    }
    for turn in 0u64.. {
        let Some(line) = lines.next()? else { break };
        let line = line.trim();
        match line.split_once(' ').unwrap_or((line, "")) {
            ("", _) => continue,
            ("/help" | "/?", _) => println!("{HELP}"),
            ("/quit" | "/exit" | "/bye", _) => break,
            ("/new", _) => said = writing.opening(),
            ("/system", text) => said = vec![Message::new(Role::System, text)],
            (command, _) if command.starts_with('/') && !command[1..].contains('/') => {
                eprintln!("{command} is nothing that can be typed here; /help says what is");
            }
            _ => {
                said.push(Message::new(Role::User, line));
                let prompt = processor.prompt_of(&Content::from(said.clone()))?;
                let prompt = processor.with_room(prompt, max_new);
                if let Some(report) = processor.cut_report() {
                    eprintln!("{report}; /new starts afresh");
                }
                memory::check(&reader.writing(1, 1, prompt.len() + max_new, writing.precision), &device)?;
                let mut stream = processor.tokenizer.stream(true);
                let mut completion = writing.completion();
                generate(&opened.loaded.net, &weights, &[prompt], &config, rng.fold(turn), None, |_, id| {
                    if !eos_ids.contains(&id) {
                        show(completion.push(&stream.push(id)));
                    }
                    !completion.stopped
                })?;
                if !completion.stopped {
                    show(completion.push(&stream.finish()));
                    show(completion.finish());
                }
                println!();
                said.push(Message::new(Role::Assistant, completion.text.trim()));
            }
        }
    }
    Ok(())
}

/// Prints a piece at once.
fn show(piece: &str) {
    print!("{}", to_stdout(piece));
    let _ = std::io::stdout().flush();
}

/// The lines of standard input: edited where a person types them.
struct Lines {
    editor: Option<DefaultEditor>,
    read: u64,
}

impl Lines {
    fn open() -> Result<Lines> {
        let person = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let editor = person.then(DefaultEditor::new).transpose().map_err(|e| unreadable(&e))?;
        Ok(Lines { editor, read: 0 })
    }

    /// The next line, with those that it goes on in; none at the end.
    fn next(&mut self) -> Result<Option<String>> {
        let mut whole = String::new();
        loop {
            let prompt = if whole.is_empty() { "> " } else { "… " };
            let Some(line) = self.line(prompt)? else { return Ok(Some(whole).filter(|text| !text.is_empty())) };
            match line.trim_end_matches(['\r', '\n']).strip_suffix('\\') {
                Some(begun) => whole = whole + begun + "\n",
                None => {
                    whole += &line;
                    break;
                }
            }
        }
        if let Some(editor) = &mut self.editor {
            let _ = editor.add_history_entry(whole.trim_end()); // it only serves the arrow keys
        }
        Ok(Some(whole))
    }

    fn line(&mut self, prompt: &str) -> Result<Option<String>> {
        self.read += 1;
        let Some(editor) = &mut self.editor else { return read_line(self.read) };
        match editor.readline(prompt) {
            Ok(line) => Ok(Some(line)),
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
            Err(e) => Err(unreadable(&e)),
        }
    }
}

fn unreadable(error: &ReadlineError) -> Failure {
    Failure::data(format!("the terminal cannot be read: {error}; pipe the text in instead: echo … | rlhf chat …"))
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
