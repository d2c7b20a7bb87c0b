//! The run folder: made once, never overwritten silently, resumed only by the recipe that made it.

use crate::error::{Failure, Result};
use crate::recipe::Recipe;
use crate::report::as_resolved;
use crate::runlog::environment;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a finished stage leaves beside its model: `DONE.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Done {
    pub seconds: f64,
    pub steps: usize,
}

/// A folder for this recipe: a new one, or with `resume` the one that an earlier run of it left.
pub fn open(dir: &Path, recipe: &Recipe, resume: bool) -> Result {
    let saved = dir.join("recipe.toml");
    if saved.exists() {
        return same_recipe(dir, &saved, recipe, resume);
    }
    if dir.exists() && std::fs::read_dir(dir).map_err(|e| Failure::write(dir, e))?.next().is_some() {
        return Err(Failure::usage(format!(
            "{} has files in it but is not the folder of a run; choose another one with --out",
            dir.display()
        )));
    }
    std::fs::create_dir_all(dir).map_err(|e| Failure::write(dir, e))?;
    std::fs::write(&saved, recipe.to_toml()).map_err(|e| Failure::write(&saved, e))
}

fn same_recipe(dir: &Path, saved: &Path, recipe: &Recipe, resume: bool) -> Result {
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
    let old = Recipe::parse("recipe.toml", &as_resolved(&text), &[]).map_err(|e| e.context(dir.display()))?;
    let new = Recipe { quick: false, smoke: false, ..recipe.clone() };
    if old == new {
        return Ok(());
    }
    let (old, new) = (old.to_toml(), new.to_toml());
    let changed: Vec<&str> = new.lines().filter(|l| !old.lines().any(|o| o == *l)).collect();
    Err(Failure::usage(format!(
        "{} was made by another recipe (here it says: {}); a run is resumed by its own recipe: rlhf run {}/recipe.toml --resume --out {}",
        dir.display(),
        if changed.is_empty() { "something less".into() } else { changed.join("; ") },
        dir.display(),
        dir.display()
    )))
}

pub fn write_environment(dir: &Path, device: &str, threads: usize) -> Result {
    let path = dir.join("environment.json");
    let text = serde_json::to_string_pretty(&environment::describe(device, threads)).expect("plain values");
    std::fs::write(&path, text + "\n").map_err(|e| Failure::write(&path, e))
}

/// The folder of a stage.
pub fn stage(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

pub fn done(stage: &Path) -> Option<Done> {
    serde_json::from_str(&std::fs::read_to_string(stage.join("DONE.json")).ok()?).ok()
}

/// Marks a stage finished, last of all and at once: a kill before leaves it unfinished, never half finished.
pub fn mark_done(stage: &Path, done: &Done) -> Result {
    let (temporary, path) = (stage.join("DONE.tmp"), stage.join("DONE.json"));
    let text = serde_json::to_string(done).expect("plain numbers");
    std::fs::write(&temporary, text).map_err(|e| Failure::write(&temporary, e))?;
    let sync = || std::fs::File::open(&temporary)?.sync_all();
    sync().map_err(|e| Failure::write(&temporary, e))?;
    std::fs::rename(&temporary, &path).map_err(|e| Failure::write(&path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_never_overwritten_silently() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("run");
        let recipe = Recipe::load("mini", &["quick=true".into()]).unwrap();
        open(&dir, &recipe, false).unwrap();
        let error = open(&dir, &recipe, false).unwrap_err().message;
        assert!(error.contains("unfinished run") && error.contains("--resume") && error.contains("--out"), "{error}");
        open(&dir, &recipe, true).unwrap();
        let other = Recipe { seed: 9, ..recipe };
        let error = open(&dir, &other, true).unwrap_err().message;
        assert!(error.contains("another recipe") && error.contains("seed = 9"), "{error}");
        let error = open(temporary.path(), &other, true).unwrap_err().message;
        assert!(error.contains("not the folder of a run"), "{error}");
    }

    #[test]
    fn a_stage_is_done_when_its_marker_is_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(done(dir.path()).is_none());
        mark_done(dir.path(), &Done { seconds: 1.5, steps: 7 }).unwrap();
        assert_eq!(done(dir.path()).unwrap().steps, 7);
    }
}
