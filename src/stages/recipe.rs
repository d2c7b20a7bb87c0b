//! What a recipe makes: its stages, in what order, and what stands in the place of some.

use super::{Needs, STAGES, Stage, rm, sections};
use crate::config::sections::{Source, given};
use crate::config::{Recipe, find};
use crate::error::{Failure, Result};
use std::path::PathBuf;

/// The recipe named `which` with `--set key=value` applied; every stage has what it stands on.
pub fn load(which: &str, sets: &[String]) -> Result<Recipe> {
    let (origin, text) = find(which)?;
    parse(&origin, &text, sets)
}

/// The same of a text; `origin` names it in messages.
pub fn parse(origin: &str, text: &str, sets: &[String]) -> Result<Recipe> {
    Recipe::parse(origin, text, sets, &sections(), &Recipe::check_stages)
}

impl Recipe {
    /// Does a run make this stage?
    pub fn makes(&self, name: &str) -> bool {
        let wanted = |stage: &Stage| match self.stages.is_empty() {
            true => stage.by_default,
            false => self.stages.iter().any(|s| s == name),
        };
        STAGES.iter().any(|stage| stage.name == name && wanted(stage) && !self.is_there(stage))
    }

    /// The stages that a run makes with the sizes that they are made for, in order.
    pub fn made(&self) -> impl Iterator<Item = (&'static Stage, &str)> {
        let of = move |stage: &'static Stage| self.sizes_of(stage).into_iter().map(move |size| (stage, size));
        STAGES.iter().copied().filter(|stage| self.makes(stage.name)).flat_map(of)
    }

    /// The models that stand in the place of stages: (`S.base`, where it lies).
    pub fn there(&self) -> impl Iterator<Item = (String, PathBuf)> {
        let of = move |stage: &'static Stage| {
            let there = move |size| Some((stage.of_size(size), (stage.instead)(self, size)?));
            self.sizes_of(stage).into_iter().filter_map(there)
        };
        STAGES.iter().copied().flat_map(of)
    }

    fn is_there(&self, stage: &Stage) -> bool {
        self.sizes_of(stage).into_iter().any(|size| (stage.instead)(self, size).is_some())
    }

    /// The sizes that a stage is made for.
    pub(super) fn sizes_of(&self, stage: &Stage) -> Vec<&str> {
        if stage.per_size { self.sizes() } else { vec![self.rm_size()] }
    }

    /// Is there a reward model in the end?
    pub fn has_rm(&self) -> bool {
        self.makes(rm::RM.name) || self.is_there(&rm::RM)
    }

    /// The stage that PPO starts from and is held near.
    pub fn ppo_start(&self) -> &str {
        if self.makes("init") { "init" } else { "base" }
    }

    /// A text of `[rm]`: its model, size or from.
    pub(super) fn rm(&self, key: &str) -> &str {
        let value = &self.methods[rm::SECTION.name][key];
        value.get(self.largest()).unwrap_or(value).as_str().expect("complete() made sure of texts")
    }

    fn largest(&self) -> &str {
        self.sizes().last().expect("check() made sure of a size")
    }

    /// The size of the reward model: the recipe's, or the largest.
    pub fn rm_size(&self) -> &str {
        match self.rm("size") {
            "" => self.largest(),
            size => size,
        }
    }

    /// So many tokens are read at a time by what is no stage: as many as the stages were given.
    pub fn token_budget(&self) -> usize {
        let of = |(stage, size): (&Stage, &str)| stage.keys(self, size)["token_budget"].as_integer();
        self.made().filter_map(of).min().map_or(8192, |tokens| tokens as usize)
    }

    /// Has every stage what it stands on?
    fn check_stages(&self) -> Result {
        let fail = |m: String| Err(Failure::usage(m));
        let names: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        if let Some(stage) = self.stages.iter().find(|s| !names.contains(&s.as_str())) {
            return fail(format!("stages has {stage:?}; there are {}", names.join(", ")));
        }
        let [size, from] = ["size", "from"].map(|key| self.rm(key));
        if !size.is_empty() && !self.model.contains_key(size) {
            return fail(format!("rm.size = {size:?} is not one of the sizes {:?}", self.sizes()));
        }
        if self.starts_from_models() && self.model.values().any(|shape| given(&shape.from).is_none()) {
            return fail("either every size has a `from`, or none".into());
        }
        if !self.starts_from_models() && !self.makes("base") {
            return fail("stages leaves base out, so every size needs a `from`, the model to start with".into());
        }
        let models: Vec<&str> = names.iter().copied().take_while(|name| *name != rm::RM.name).collect();
        if !models.contains(&from) {
            return fail(format!("rm.from = {from:?}; it is one of {models:?}"));
        }
        if self.makes("rm") && from != "base" && !self.makes(from) {
            return fail(format!("rm.from = {from:?} is not one of the stages that are made"));
        }
        for (stage, size) in self.made() {
            let needs = (stage.needs)(self);
            if needs.contains(&Needs::RewardModel) && !self.has_rm() {
                return fail("PPO needs a reward model: the stage rm, or rm.model, one that is there already".into());
            }
            if needs.contains(&Needs::Text) && self.data.source == Source::Files && self.data.text.is_empty() {
                return fail("data.source = \"files\" needs data.text, files to pretrain on".into());
            }
            let keys = stage.keys(self, size);
            let named = |key: &str| format!("{}.{key} = {}", stage.section.name, keys[key]);
            (stage.check)(&keys, &named).map_err(Failure::usage)?;
        }
        Ok(())
    }
}
