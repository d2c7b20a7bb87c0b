//! The run folder: made once, never overwritten silently, resumed only by the recipe that made it.

pub mod inputs;

use crate::config::Recipe;
use crate::error::{Failure, Result};
use crate::runlog::environment;
use crate::stages;
use inputs::{Inputs, changed_keys, must_agree};
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a finished stage leaves beside its model: `DONE.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    pub seconds: f64,
    pub steps: usize,
    /// What it left.
    #[serde(default)]
    pub files: Vec<String>,
}

/// A folder for this recipe: a new one, or with `resume` the one that an earlier run of it left, and what is to be told.
/// Nobody else writes to it as long as the lock is kept.
pub fn open(dir: &Path, recipe: &Recipe, inputs: &Inputs, resume: bool, force: bool) -> Result<(Lock, Option<String>)> {
    let saved = dir.join("recipe.toml");
    if resume && !saved.exists() {
        return Err(nothing_to_resume(dir));
    }
    if !saved.exists() && dir.exists() && !is_empty(dir)? {
        return Err(Failure::usage(format!(
            "{} has files in it but is not the folder of a run; choose another one with --out",
            dir.display()
        )));
    }
    std::fs::create_dir_all(dir).map_err(|e| Failure::write(dir, e))?;
    let lock = Lock::of(dir)?;
    if !saved.exists() {
        inputs.save(dir)?;
        write_whole(&saved, &recipe.to_toml())?;
        return Ok((lock, None));
    }
    let told = same_run(dir, &saved, recipe, inputs, resume, force)?;
    if told.is_some() {
        inputs.save(dir)?;
        write_whole(&saved, &recipe.to_toml())?;
    }
    Ok((lock, told))
}

/// But for what a start leaves that was killed before it began.
fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(dir).map_err(|e| Failure::write(dir, e))?.flatten();
    Ok(entries.all(|e| {
        e.file_name().to_str().is_some_and(|name| ["inputs.json", LOCK].contains(&name) || name.ends_with(".tmp"))
    }))
}

pub fn nothing_to_resume(dir: &Path) -> Failure {
    let hint = "is it another folder that you mean? Without --resume a new run starts there";
    Failure::usage(format!("nothing to resume in {}: {hint}", dir.display()))
}

/// Are recipe and inputs those that the folder was made with? With `force`, what is different.
fn same_run(
    dir: &Path,
    saved: &Path,
    recipe: &Recipe,
    inputs: &Inputs,
    resume: bool,
    force: bool,
) -> Result<Option<String>> {
    let finished = dir.join("results.json").exists();
    let state = if finished { "a finished run" } else { "an unfinished run" };
    if !resume {
        return Err(Failure::usage(format!(
            "{} holds {state}; go on with it by --resume, or start a new one with --out DIR",
            dir.display()
        )));
    }
    let text =
        std::fs::read_to_string(saved).map_err(|e| Failure::usage(format!("cannot read {}: {e}", saved.display())))?;
    let old = stages::parse("recipe.toml", &text, &[]).map_err(|e| e.context(dir.display()))?;
    let table = |recipe: &Recipe| {
        let resolved = Recipe { quick: false, smoke: false, ..recipe.clone() };
        toml::Table::try_from(resolved).expect("a recipe is plain values")
    };
    let keys = changed_keys(&table(recipe), &table(&old));
    if !keys.is_empty() {
        let keys = [vec!["another recipe".to_string()], keys].concat();
        return must_agree(dir, keys, force);
    }
    match Inputs::read(dir)? {
        Some(before) => must_agree(dir, inputs.differences(&before), force),
        None => must_agree(dir, vec!["inputs.json is not there, which says what data it was made with".into()], force),
    }
}

pub fn write_environment(dir: &Path, device: &str, threads: usize) -> Result {
    let text = serde_json::to_string_pretty(&environment::describe(device, threads)).expect("plain values");
    write_whole(&dir.join("environment.json"), &(text + "\n"))
}

/// A file that is there whole or not at all, also after a kill.
pub fn write_whole(path: &Path, text: &str) -> Result {
    let temporary = path.with_extension("tmp");
    let write = || {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|e| Failure::write(&temporary, e))?;
    std::fs::rename(&temporary, path).map_err(|e| Failure::write(path, e))
}

/// Where a folder itself cannot be locked.
pub const LOCK: &str = ".lock";

/// One process at a time works in a folder. The lock goes with the process, however it ends.
pub struct Lock {
    _file: Option<File>,
}

impl Lock {
    pub fn of(dir: &Path) -> Result<Lock> {
        let file = if cfg!(unix) { File::open(dir) } else { File::create(dir.join(LOCK)) };
        let file = file.map_err(|e| Failure::write(dir, e))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Failure::usage(format!(
                "another process works in {}; wait until it ends, or choose another folder with --out",
                dir.display()
            ))),
            // a file system that knows no locks
            Err(TryLockError::Error(_)) => Ok(Lock { _file: None }),
        }
    }
}

/// The folder of a stage.
pub fn stage(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// What was noted when the stage was finished, if all that it left is still there.
pub fn done(stage: &Path) -> Option<Done> {
    let done: Done = serde_json::from_str(&std::fs::read_to_string(stage.join("DONE.json")).ok()?).ok()?;
    done.files.iter().all(|file| stage.join(file).exists()).then_some(done)
}

/// Marks a stage finished, last of all and at once: a kill before leaves it unfinished, never half finished. What an
/// earlier attempt was writing when it was killed goes.
pub fn mark_done(stage: &Path, seconds: f64, steps: usize) -> Result<Done> {
    let entries = std::fs::read_dir(stage).map_err(|e| Failure::write(stage, e))?.flatten();
    let mut files: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    for left in files.iter().filter(|name| name.starts_with(".tmp-")).map(|name| stage.join(name)) {
        let removed = if left.is_dir() { std::fs::remove_dir_all(&left) } else { std::fs::remove_file(&left) };
        removed.map_err(|e| Failure::write(&left, e))?;
    }
    let passing = |name: &String| name.starts_with('.') || name.ends_with(".tmp") || name == "checkpoints";
    files.retain(|name| !passing(name) && name != "metrics.jsonl" && !name.starts_with("events."));
    files.sort();
    let done = Done { seconds, steps, files };
    write_whole(&stage.join("DONE.json"), &serde_json::to_string(&done).expect("plain numbers"))?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_never_overwritten_silently() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("run");
        let recipe = stages::load("mini", &["quick=true".into()]).unwrap();
        let inputs = Inputs::on(&kernels::Device::Cpu);
        let open = |dir: &Path, recipe: &Recipe, resume| open(dir, recipe, &inputs, resume, false).map(drop);
        let error = |dir: &Path, recipe: &Recipe, resume| open(dir, recipe, resume).unwrap_err().message;
        assert!(error(&dir, &recipe, true).contains("nothing to resume") && !dir.exists());
        open(&dir, &recipe, false).unwrap();
        let message = error(&dir, &recipe, false);
        assert!(["unfinished run", "--resume", "--out"].iter().all(|w| message.contains(w)), "{message}");
        open(&dir, &recipe, true).unwrap();
        let other = Recipe { seed: 9, ..recipe };
        let message = error(&dir, &other, true);
        assert!(message.contains("another recipe") && message.contains("seed = 9 (it was 1)"), "{message}");
        let message = error(temporary.path(), &other, false);
        assert!(message.contains("not the folder of a run"), "{message}");
    }

    #[test]
    fn with_force_other_things_are_told_and_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let recipe = stages::load("mini", &[]).unwrap();
        let (cpu, mut other) = (Inputs::on(&kernels::Device::Cpu), Inputs::on(&kernels::Device::Cpu));
        other.say("data.text", "new.txt");
        assert!(open(dir.path(), &recipe, &cpu, false, false).unwrap().1.is_none());
        let message = open(dir.path(), &recipe, &other, true, false).err().unwrap().message;
        assert!(message.contains("data.text: new.txt, it was nothing") && message.contains("--force"), "{message}");
        let (_, told) = open(dir.path(), &recipe, &other, true, true).unwrap();
        assert!(told.unwrap().contains("data.text: new.txt"));
        assert!(open(dir.path(), &recipe, &other, true, false).unwrap().1.is_none(), "recorded");
    }

    #[test]
    fn one_process_works_in_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::of(dir.path()).unwrap();
        let message = Lock::of(dir.path()).err().unwrap().message;
        assert!(message.contains("another process works in"), "{message}");
        drop(lock);
        Lock::of(dir.path()).unwrap();
    }

    #[test]
    fn a_stage_is_done_when_its_marker_and_its_files_are_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.safetensors"), "x").unwrap();
        std::fs::write(dir.path().join(".tmp-12-model.safetensors"), "half").unwrap();
        assert!(done(dir.path()).is_none());
        mark_done(dir.path(), 1.5, 7).unwrap();
        assert_eq!(done(dir.path()).unwrap().steps, 7);
        assert!(!dir.path().join(".tmp-12-model.safetensors").exists());
        std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        assert!(done(dir.path()).is_none());
    }
}
