//! The command line: verbs, the flags they share, and wrong flags as one paragraph.

use crate::error::{Failure, Result};
use crate::hub;
use crate::progress::use_colour;
use crate::session::Common;
use crate::stages::{self, STAGES, Stage};
use crate::verbs::{
    bench, chat, convert, devices, generate, inspect, manual, merge, recipes, report, reward, run, score, stage,
};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::io::{IsTerminal, stdout};

/// RLHF from the first multiplication up: pretraining, SFT, reward model and PPO on any GPU or none.
#[derive(Parser, Debug)]
#[command(name = "rlhf", version = env!("RLHF_VERSION"), after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    /// Without a verb: `rlhf run`
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

const EXAMPLES: &str = "Examples:
  rlhf run                                   InstructGPT in miniature, into runs/mini
  rlhf run --set quick=true                  every stage, in a minute
  rlhf chat --model runs/mini/S.ppo_ptx      talk to what came out
  rlhf sft --model DIR --data demos.jsonl --out tuned

Exit codes: 0 ok, 2 usage or recipe, 3 data, 4 device or memory, 5 diverged, 6 model file or checkpoint, 130 stopped.";

#[derive(Subcommand, Debug)]
pub enum Verb {
    /// A whole pipeline from a recipe; ends with the results table and report.html
    Run(run::RunArgs),
    /// List, copy, print or validate recipes
    Recipes(recipes::RecipesArgs),
    /// Text or token ids out of a model
    Generate(generate::GenerateArgs),
    /// A conversation in the terminal
    Chat(chat::ChatArgs),
    /// Log-probability of every token given those before it
    Score(score::ScoreArgs),
    /// Reward of every completion; on preference data the accuracy with its interval
    Reward(reward::RewardArgs),
    /// An adapter and the model that it stands on, as one model
    Merge(merge::MergeArgs),
    /// What is in a model directory or a data file
    Inspect(inspect::InspectArgs),
    /// From one kind of model file to another: Hugging Face directories, GGUF, the width of the numbers
    Convert(convert::ConvertArgs),
    /// The page of a finished run, built again from its folder
    Report(report::ReportArgs),
    /// Processor features and GPU adapters, and what would be chosen
    #[command(after_help = "Examples:\n  rlhf devices\n  rlhf devices --json")]
    Devices,
    /// Speed of kernels and of training, generation and PPO, beside the roof measured on the spot
    Bench(bench::BenchArgs),
    /// Completions of verbs, flags and values, for a shell
    Completions(manual::CompletionsArgs),
    /// The manual, as pages for man
    Man(manual::ManArgs),
}

/// The verbs of the table of stages, by their names.
fn stage_verbs() -> impl Iterator<Item = (&'static Stage, &'static stages::Verb)> {
    STAGES.iter().filter_map(|&stage| Some((stage, stage.verb.as_ref()?)))
}

/// All verbs; those of stages stand behind the recipes.
fn command() -> Command {
    let command = Cli::command();
    let own: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_string()).collect();
    let command = stage_verbs().fold(command, |all, (_, verb)| all.subcommand(stage::command(verb)));
    let stages = stage_verbs().map(|(_, verb)| verb.name.to_string());
    let order = own[..2].iter().cloned().chain(stages).chain(own[2..].iter().cloned()).collect::<Vec<_>>();
    order.into_iter().zip(0..).fold(command, |all, (name, i)| all.mut_subcommand(name, |verb| verb.display_order(i)))
}

/// Parses and dispatches. `--help` and `--version` print themselves.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result {
    let args: Vec<OsString> = args.into_iter().map(with_dashes).collect();
    let all = command();
    let is_verb = |arg: &&OsString| all.get_subcommands().any(|verb| *arg == verb.get_name());
    let verb = args.iter().skip(1).find(is_verb);
    let verb = verb.map_or("rlhf".into(), |verb| format!("rlhf {}", verb.to_string_lossy()));
    let wrong = |e: clap::Error| Failure::usage(one_paragraph(&e, &verb));
    let matches = match all.try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            let colour = stdout().is_terminal() && use_colour();
            let text = e.render();
            if colour {
                print!("{}", text.ansi())
            } else {
                print!("{text}")
            }
            return Ok(());
        }
        Err(e) => return Err(wrong(e)),
    };
    let common = Common::from_arg_matches(&matches).map_err(wrong)?;
    if common.quiet {
        hub::be_quiet();
    }
    if let Some(wrong) = kernels::cpu::simd::wrong_wish() {
        return Err(Failure::usage(wrong));
    }
    if let Some(threads) = common.threads {
        kernels::cpu::thread_pool::limit(threads);
    }
    let stage = matches.subcommand().and_then(|(name, flags)| {
        let (stage, verb) = stage_verbs().find(|(_, verb)| verb.name == name)?;
        Some((stage, verb, flags))
    });
    if let Some((stage, verb, flags)) = stage {
        return stage::run(stage, verb, flags, &common);
    }
    let cli = Cli::from_arg_matches(&matches).map_err(wrong)?;
    dispatch(&cli.verb, &common)
}

fn dispatch(verb: &Option<Verb>, common: &Common) -> Result {
    match verb {
        None => run::run(&run::RunArgs::default(), common),
        Some(Verb::Run(args)) => run::run(args, common),
        Some(Verb::Recipes(args)) => recipes::run(args, common),
        Some(Verb::Generate(args)) => generate::run(args, common),
        Some(Verb::Chat(args)) => chat::run(args, common),
        Some(Verb::Score(args)) => score::run(args, common),
        Some(Verb::Reward(args)) => reward::run(args, common),
        Some(Verb::Merge(args)) => merge::run(args, common),
        Some(Verb::Inspect(args)) => inspect::run(args, common),
        Some(Verb::Convert(args)) => convert::run(args, common),
        Some(Verb::Report(args)) => report::run(args, common),
        Some(Verb::Devices) => devices::run(common),
        Some(Verb::Bench(args)) => bench::run(args, common),
        Some(Verb::Completions(args)) => manual::completions(args, command()),
        Some(Verb::Man(args)) => manual::man(args, command()),
    }
}

/// `--ptx_rows` is `--ptx-rows`: a recipe's key can be pasted as a flag.
fn with_dashes(arg: OsString) -> OsString {
    match arg.to_str() {
        Some(text) if text.starts_with("--") => {
            let (name, rest) = text.split_at(text.find('=').unwrap_or(text.len()));
            (name.replace('_', "-") + rest).into()
        }
        _ => arg,
    }
}

/// What clap says, as one sentence without its usage lines: "unexpected argument '--modle' found; a similar argument
/// exists: '--model'".
fn one_paragraph(error: &clap::Error, verb: &str) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return format!("{verb} does nothing by itself: {verb} --help says what it can do.");
    }
    let rendered = error.render().to_string();
    let parts = rendered.trim().split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let kept: Vec<String> =
        parts.filter(|p| !p.starts_with("Usage:") && !p.starts_with("For more information")).collect();
    let text = kept.join("; ").replace("error: ", "").replace("tip: ", "");
    format!("{text}. See {verb} --help.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example() {
        let command = command();
        for verb in command.get_subcommands() {
            let help = verb.get_after_help().map(|h| h.to_string()).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no example", verb.get_name());
        }
    }

    #[test]
    fn a_wrong_flag_is_one_paragraph() {
        let error = run(["rlhf", "sft", "--modle", "x"].map(OsString::from)).unwrap_err();
        assert_eq!(error.kind as u8, 2);
        assert!(error.message.contains("'--model'") && !error.message.contains('\n'), "{}", error.message);
        assert!(
            error.message.ends_with("found; a similar argument exists: '--model'. See rlhf sft --help."),
            "{}",
            error.message
        );
        let error = run(["rlhf", "sft", "--lora-rank", "-1"].map(OsString::from)).unwrap_err();
        assert!(error.message.ends_with("See rlhf sft --help."), "{}", error.message);
        let error = run(["rlhf", "chat", "--model", "run", "--top-p", "no"].map(OsString::from)).unwrap_err();
        assert!(error.message.ends_with("See rlhf chat --help."), "{}", error.message);
        let error = run(["rlhf", "recipes"].map(OsString::from)).unwrap_err();
        assert_eq!(error.message, "rlhf recipes does nothing by itself: rlhf recipes --help says what it can do.");
    }

    #[test]
    fn keys_and_flags_are_the_same_names() {
        assert_eq!(with_dashes("--ptx_rows=a_b".into()), OsString::from("--ptx-rows=a_b"));
        assert_eq!(with_dashes("a_b".into()), OsString::from("a_b"));
    }

    /// Words as a shell would split them; what stands after two spaces or more is said about the command.
    fn words(line: &str) -> Vec<OsString> {
        let (mut words, mut word, mut quote, mut spaces) = (Vec::new(), String::new(), None, 0);
        for c in line.chars() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (None, '\'' | '"') => quote = Some(c),
                (None, ' ') => {
                    spaces += 1;
                    if spaces == 2 {
                        break;
                    }
                    words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
                    continue;
                }
                (None, '|' | '>' | '&') => break,
                _ => word.push(c),
            }
            spaces = 0;
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words.into_iter().map(OsString::from).collect()
    }

    /// Every command that README, the pages and the examples of --help show can be typed.
    #[test]
    fn what_is_shown_can_be_typed() {
        let pages = ["README.md", "docs/data.md", "docs/gpu-kernels.md", "docs/performance.md", "docs/adding.md"];
        let read = |page: &&str| std::fs::read_to_string(format!("{}/{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let blocks = pages.iter().map(read).flat_map(|text| {
            let blocks = text.split("```").skip(1).step_by(2).map(str::to_string).collect::<Vec<_>>();
            let inline = text
                .split('`')
                .map(str::to_string)
                .filter(|code| code.starts_with("rlhf ") && code.contains(" --") && !code.contains('\n'));
            blocks.into_iter().chain(inline.collect::<Vec<_>>())
        });
        let helps = command()
            .get_subcommands()
            .map(|verb| verb.get_after_help().unwrap_or_default().to_string())
            .collect::<Vec<_>>();
        let own = command().get_after_help().unwrap().to_string();
        let texts: Vec<String> = blocks.chain(helps).chain([own]).collect();
        let lines = texts.iter().flat_map(|text| text.lines()).map(str::trim).filter(|line| line.starts_with("rlhf "));
        // `rlhf generate`, `rlhf convert IN OUT [--dtype …]`: what a verb is called, not what is typed
        let names = [" SHELL", " --data", " --prompts"];
        let called = |line: &&str| {
            line.contains(['[', '…', '|']) || names.iter().any(|end| line.ends_with(end)) || line.split(' ').count() < 3
        };
        let typed = lines.filter(|line| !called(line));
        let mut tried = 0;
        for line in typed {
            let parsed = command().try_get_matches_from(words(line).into_iter().map(with_dashes));
            let fine = parsed.as_ref().err().is_none_or(|e| e.kind() == ErrorKind::DisplayHelp);
            assert!(fine, "{line}: {}", parsed.unwrap_err());
            tried += 1;
        }
        assert!(tried > 40, "only {tried} commands were found");
    }
}
