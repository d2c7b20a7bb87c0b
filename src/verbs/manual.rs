//! `rlhf completions` and `rlhf man`: what the command knows of itself, for shells and for `man`.

use crate::error::{Failure, Result};
use clap::{Args, Command};
use std::path::{Path, PathBuf};

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf completions bash > ~/.local/share/bash-completion/completions/rlhf
  rlhf completions zsh > ~/.zfunc/_rlhf
  rlhf completions fish > ~/.config/fish/completions/rlhf.fish")]
pub struct CompletionsArgs {
    /// The shell: bash, elvish, fish, powershell or zsh
    shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
#[command(after_help = "Examples:
  rlhf man | man -l -
  rlhf man ~/.local/share/man/man1            then: man rlhf-sft")]
pub struct ManArgs {
    /// Folder for a page a verb; without it the page of the whole command goes to stdout
    folder: Option<PathBuf>,
}

/// Prints the completions of `command` for a shell.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rlhf", &mut text);
    write(&text)
}

/// Prints or writes the manual pages of `command`.
pub fn man(args: &ManArgs, command: Command) -> Result {
    let Some(folder) = &args.folder else { return write(&page(command)?) };
    std::fs::create_dir_all(folder).map_err(|e| Failure::write(folder, e))?;
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("rlhf-{}", verb.get_name());
        save(folder, &name, &page(verb.clone().display_name(name.clone()))?)?;
    }
    save(folder, "rlhf", &page(command)?)
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command).render(&mut text).map_err(|e| Failure::usage(format!("the manual: {e}")))?;
    Ok(text)
}

fn save(folder: &Path, name: &str, page: &[u8]) -> Result {
    let file = folder.join(name).with_extension("1");
    std::fs::write(&file, page).map_err(|e| Failure::write(&file, e))
}

fn write(text: &[u8]) -> Result {
    print!("{}", String::from_utf8_lossy(text));
    Ok(())
}
