//! A recipe: one TOML file that says all of a run. Unknown keys are errors; the resolved recipe is saved with the run.

#[cfg(test)]
mod fuzz;
mod overrides;
mod per_size;
pub mod sections;
mod suggest;

pub use overrides::value as parse_value;
pub use per_size::PerSize;
pub use suggest::nearest;

use crate::error::{Failure, Kind, Result};
use crate::range;
use sections::{Data, Eval, Ppo, Pretrain, Rankings, Rm, Sft, Shape, Source, Tokenizer, World, given};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::Table;

/// The recipes inside the program: (name, text). A copy can be edited with `rlhf recipes cp`.
pub const EMBEDDED: [(&str, &str); 5] = [
    ("mini", include_str!("../../recipes/mini.toml")),
    ("books", include_str!("../../recipes/books.toml")),
    ("smollm2-sft", include_str!("../../recipes/smollm2-sft.toml")),
    ("smollm2-rm", include_str!("../../recipes/smollm2-rm.toml")),
    ("smollm2-ppo", include_str!("../../recipes/smollm2-ppo.toml")),
];

/// The profiles that a recipe may have, each with a key of its name.
const PROFILES: [&str; 2] = ["quick", "smoke"];

/// What a run can make, for every size but the reward model.
const STAGES: [&str; 6] = ["base", "init", "sft", "rm", "ppo", "ppo_ptx"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    pub name: String,
    /// One line for `rlhf recipes ls`.
    pub about: String,
    pub seed: u64,
    /// Every stage, in a minute: see `[profile.quick]`.
    pub quick: bool,
    /// A few steps of every stage on a toy size: see `[profile.smoke]`.
    pub smoke: bool,
    /// What is made, of base, init, sft, rm, ppo and ppo_ptx; empty = all.
    pub stages: Vec<String>,
    pub data: Data,
    pub world: World,
    pub tokenizer: Tokenizer,
    /// Model sizes by name, such as `[model.S]`.
    pub model: BTreeMap<String, Shape>,
    pub pretrain: Pretrain,
    pub sft: Sft,
    pub init: Sft,
    pub rankings: Rankings,
    pub rm: Rm,
    pub ppo: Ppo,
    pub eval: Eval,
    /// What `quick = true` and `smoke = true` change. Gone from the resolved recipe.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub profile: Table,
}

impl Default for Recipe {
    fn default() -> Recipe {
        Recipe {
            name: "unnamed".into(),
            about: String::new(),
            seed: 1,
            quick: false,
            smoke: false,
            stages: Vec::new(),
            data: Data::default(),
            world: World::default(),
            tokenizer: Tokenizer::default(),
            model: BTreeMap::new(),
            pretrain: Pretrain::default(),
            sft: Sft::default(),
            init: Sft::default(),
            rankings: Rankings::default(),
            rm: Rm::default(),
            ppo: Ppo::default(),
            eval: Eval::default(),
            profile: Table::new(),
        }
    }
}

impl Recipe {
    /// The recipe named `which` (embedded, or a file) with `--set key=value` applied: first the profile that
    /// `quick` or `smoke` asks for, then the values themselves.
    pub fn load(which: &str, sets: &[String]) -> Result<Recipe> {
        let (origin, text) = find(which)?;
        Recipe::parse(&origin, &text, sets)
    }

    pub fn parse(origin: &str, text: &str, sets: &[String]) -> Result<Recipe> {
        let plain: Recipe = toml::from_str(text).map_err(|e| explain(origin, text, &e))?;
        let mut table: Table = text.parse().map_err(|e| explain(origin, text, &e))?;
        for set in sets {
            overrides::set(&mut table, set)?;
        }
        let wanted = |profile: &str| table.get(profile).and_then(toml::Value::as_bool) == Some(true);
        // A resolved recipe names the profile that made it, and no longer carries it.
        let resolved = |profile: &str| {
            let own = if profile == "quick" { plain.quick } else { plain.smoke };
            own && !plain.profile.contains_key(profile)
        };
        let wanted: Vec<&str> = PROFILES.into_iter().filter(|p| wanted(p) && !resolved(p)).collect();
        let with = |profiles: &[&str]| resolve(origin, &table, &plain.profile, profiles, sets);
        if let Some(unknown) = plain.profile.keys().find(|name| !PROFILES.contains(&name.as_str())) {
            return Err(Failure::usage(format!("{origin}: [profile.{unknown}]; there are {}", PROFILES.join(" and "))));
        }
        let recipe = with(&wanted)?;
        // A profile that nobody asked for now is read all the same: a mistake in it shall not wait.
        PROFILES.into_iter().filter(|p| plain.profile.contains_key(*p)).try_for_each(|p| with(&[p]).map(drop))?;
        Ok(recipe)
    }

    /// The text of `recipe.toml` in the run folder.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a recipe is made of numbers, strings and tables")
    }

    /// Sizes from the smallest to the largest, by width and depth.
    pub fn sizes(&self) -> Vec<&str> {
        let mut sizes: Vec<_> = self.model.iter().collect();
        sizes.sort_by_key(|(_, s)| s.layers as u128 * s.channels as u128 * s.channels as u128);
        sizes.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Does a run make this stage, of those that have names such as S.sft or rm?
    pub fn makes(&self, kind: &str) -> bool {
        let there = match kind {
            "base" => self.starts_from_models(),
            "rm" => given(&self.rm.model).is_some(),
            _ => false,
        };
        !there && (self.stages.is_empty() || self.stages.iter().any(|s| s == kind))
    }

    /// Is there a reward model in the end?
    pub fn has_rm(&self) -> bool {
        self.makes("rm") || given(&self.rm.model).is_some()
    }

    /// Are the sizes models that are there already?
    pub fn starts_from_models(&self) -> bool {
        self.model.values().any(|shape| given(&shape.from).is_some())
    }

    /// The stage that PPO starts from and is held near.
    pub fn ppo_start(&self) -> &str {
        if self.makes("init") { "init" } else { "base" }
    }

    /// The size of the reward model: the recipe's, or the largest.
    pub fn rm_size(&self) -> &str {
        match self.rm.size.as_str() {
            "" => self.sizes().last().copied().expect("check() made sure of a size"),
            size => size,
        }
    }

    fn check_ranges(&self) -> Result {
        range::check("data.", &self.data)?;
        range::check("world.", &self.world)?;
        range::check("tokenizer.", &self.tokenizer)?;
        self.model.iter().try_for_each(|(size, shape)| range::check(&format!("model.{size}."), shape))?;
        range::check("pretrain.", &self.pretrain)?;
        range::check("sft.", &self.sft)?;
        range::check("init.", &self.init)?;
        range::check("rankings.", &self.rankings)?;
        range::check("rm.", &self.rm)?;
        range::check("ppo.", &self.ppo)?;
        range::check("eval.", &self.eval)
    }

    /// What a type cannot say.
    fn check(&self) -> Result {
        let fail = |m: String| Err(Failure::usage(m));
        self.check_ranges()?;
        if self.model.is_empty() {
            return fail("no model size; add a section such as [model.S] with layers and channels".into());
        }
        if !plain_name(&self.name, ". ") {
            return fail(format!(
                "name = {:?}; it names a folder, and has letters, digits, -, _, . and spaces",
                self.name
            ));
        }
        if let Some(size) = self.model.keys().find(|size| !plain_name(size, "")) {
            return fail(format!("[model.{size:?}]: a size names folders, and has letters, digits, - and _"));
        }
        for (size, shape) in &self.model {
            shape.check().map_err(|m| Failure::usage(format!("[model.{size}]: {m}")))?;
            for (key, value) in [
                ("pretrain.steps", &self.pretrain.steps),
                ("pretrain.lr", &self.pretrain.lr),
                ("sft.lr", &self.sft.lr),
                ("init.lr", &self.init.lr),
                ("ppo.lr", &self.ppo.lr),
            ] {
                if value.get(size).is_none() {
                    return fail(format!("{key} has no value for size {size}; write one number, or one for each size"));
                }
            }
        }
        if !self.model.contains_key(self.rm_size()) {
            return fail(format!("rm.size = {:?} is not one of the sizes {:?}", self.rm.size, self.sizes()));
        }
        self.check_stages()?;
        let Rankings { k_min, k_max, .. } = self.rankings;
        if k_min < 2 || k_max < k_min {
            return fail(format!("rankings.k_min = {k_min}, k_max = {k_max}; at least 2, and not less than k_min"));
        }
        if !self.ppo.batch.is_multiple_of(self.ppo.minibatch) {
            return fail(format!(
                "ppo.batch = {} is not a multiple of ppo.minibatch = {}",
                self.ppo.batch, self.ppo.minibatch
            ));
        }
        Ok(())
    }

    /// Has every stage what it stands on?
    fn check_stages(&self) -> Result {
        let fail = |m: String| Err(Failure::usage(m));
        if let Some(stage) = self.stages.iter().find(|s| !STAGES.contains(&s.as_str())) {
            return fail(format!("stages has {stage:?}; there are {}", STAGES.join(", ")));
        }
        if self.starts_from_models() && self.model.values().any(|shape| given(&shape.from).is_none()) {
            return fail("either every size has a `from`, or none".into());
        }
        if !self.starts_from_models() && !self.makes("base") {
            return fail("stages leaves base out, so every size needs a `from`, the model to start with".into());
        }
        if !["base", "sft", "init"].contains(&self.rm.from.as_str()) {
            return fail(format!("rm.from = {:?}; it is one of \"base\", \"sft\", \"init\"", self.rm.from));
        }
        if self.makes("rm") && self.rm.from != "base" && !self.makes(&self.rm.from) {
            return fail(format!("rm.from = {:?} is not one of the stages that are made", self.rm.from));
        }
        if (self.makes("ppo") || self.makes("ppo_ptx")) && !self.has_rm() {
            return fail("PPO needs a reward model: the stage rm, or rm.model, one that is there already".into());
        }
        let reads_text = self.makes("base")
            || self.makes("ppo_ptx")
            || [("sft", &self.sft), ("init", &self.init)].iter().any(|(s, x)| self.makes(s) && x.pretrain_mix > 0.0);
        if self.data.source == Source::Files && self.data.text.is_empty() && reads_text {
            return fail("data.source = \"files\" needs data.text, files to pretrain on".into());
        }
        Ok(())
    }
}

impl Shape {
    pub fn check(&self) -> std::result::Result<(), String> {
        let Shape { channels, heads, kv_heads, .. } = *self;
        if !channels.is_multiple_of(heads) {
            return Err(format!("channels = {channels} is not a multiple of heads = {heads}"));
        }
        if kv_heads > 0 && !heads.is_multiple_of(kv_heads) {
            return Err(format!("heads = {heads} is not a multiple of kv_heads = {kv_heads}"));
        }
        match self.arch.as_str() {
            "llama" if !(channels / heads).is_multiple_of(2) => {
                Err(format!("channels / heads = {}; rotary positions (llama) need an even number", channels / heads))
            }
            "gpt2" | "llama" => Ok(()),
            other => Err(format!("arch = {other:?}; it is \"gpt2\" or \"llama\"")),
        }
    }
}

/// The recipe that a table says, with the changes of these profiles, and of `--set`, which wins.
fn resolve(origin: &str, table: &Table, all: &Table, profiles: &[&str], sets: &[String]) -> Result<Recipe> {
    let (mut table, mut name) = (table.clone(), origin.to_string());
    for profile in profiles {
        let Some(changes) = all.get(*profile).and_then(toml::Value::as_table) else {
            return Err(Failure::usage(format!(
                "{origin} has no [profile.{profile}], so {profile} = true says nothing"
            )));
        };
        overrides::merge(&mut table, changes);
        name = format!("{name} with [profile.{profile}]");
    }
    for set in sets {
        overrides::set(&mut table, set)?;
    }
    table.remove("profile");
    let recipe: Recipe = table
        .try_into()
        .map_err(|e: toml::de::Error| Failure::usage(format!("{name}: {}", with_suggestion(e.message()))))?;
    recipe.check().map_err(|e| e.context(name))?;
    Ok(recipe)
}

/// Names of sizes and runs become names of folders: nothing in them may lead elsewhere.
fn plain_name(name: &str, and: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "-_".contains(c) || and.contains(c);
    !name.is_empty() && name.len() <= 64 && !name.starts_with(['.', ' ']) && name.chars().all(plain)
}

/// The text of an embedded recipe or a file, and what to call it in messages.
pub fn find(which: &str) -> Result<(String, String)> {
    if let Some((name, text)) = EMBEDDED.iter().find(|(name, _)| *name == which) {
        return Ok((format!("recipe {name}"), text.to_string()));
    }
    if which.ends_with(".toml") || Path::new(which).exists() {
        let text = rlhf_core::data::read_text(Path::new(which))
            .map_err(|e| Failure::usage(format!("cannot read recipe {which}: {e}")))?;
        return Ok((which.to_string(), text));
    }
    let names = EMBEDDED.map(|(name, _)| name);
    let hint = nearest(which, names).map_or(String::new(), |n| format!(" Did you mean {n}?"));
    Err(Failure::usage(format!(
        "no recipe {which:?}.{hint} Embedded recipes: {}; or give the path of a .toml file.",
        names.join(", ")
    )))
}

/// file:line, what is wrong, and the nearest key that exists.
fn explain(origin: &str, text: &str, error: &toml::de::Error) -> Failure {
    let place = match error.span() {
        Some(span) => format!("{origin}:{}", 1 + text[..span.start.min(text.len())].matches('\n').count()),
        None => origin.to_string(),
    };
    Failure::new(Kind::Usage, format!("{place}: {}", with_suggestion(error.message())))
}

/// serde says "unknown field `x`, expected one of `a`, `b`": say instead which of them was probably meant.
pub fn with_suggestion(message: &str) -> String {
    let message = message.trim().replace('\n', " ");
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(unknown) = quoted.next().filter(|_| message.contains("unknown field")) else { return message };
    let known: Vec<&str> = quoted.collect();
    match nearest(unknown, known.iter().copied()) {
        Some(near) => format!("unknown key `{unknown}`; did you mean `{near}`?"),
        None => format!("unknown key `{unknown}`; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_recipes_and_their_profiles_load() {
        for (name, _) in EMBEDDED {
            let plain = Recipe::load(name, &[]).unwrap();
            assert_eq!(plain.name, name);
            for profile in ["quick", "smoke"] {
                let changed = Recipe::load(name, &[format!("{profile}=true")]).unwrap();
                if plain.makes("base") {
                    assert_ne!(changed.pretrain, plain.pretrain, "{name} {profile}");
                }
                assert_ne!(Recipe { quick: false, smoke: false, ..changed }, plain, "{name} {profile}");
            }
        }
    }

    #[test]
    fn the_resolved_recipe_reads_back() {
        let recipe = Recipe::load("mini", &["quick=true".into(), "sft.lr=0.25".into()]).unwrap();
        assert_eq!(recipe.sft.lr, PerSize::from(0.25));
        assert_eq!(Recipe::parse("again", &recipe.to_toml(), &[]).unwrap().sft, recipe.sft);
    }

    #[test]
    fn unknown_keys_are_named_with_their_line() {
        let error = Recipe::parse("my.toml", "[model.S]\nlayers = 1\n[sft]\nepohcs = 3\n", &[]).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(error.message, "my.toml:4: unknown key `epohcs`; did you mean `epochs`?");
    }

    #[test]
    fn a_set_beats_the_profile() {
        let recipe = Recipe::load("mini", &["quick=true".into(), "sft.epochs=77".into()]).unwrap();
        assert_eq!(recipe.sft.epochs, 77.0);
        let error = Recipe::load("mini", &["sft.epohcs=3".into()]).unwrap_err().message;
        assert_eq!(error, "--set sft.epohcs=3: unknown key `epohcs`; did you mean `epochs`?");
    }

    #[test]
    fn what_types_cannot_say_is_checked() {
        let error = |text: &str| Recipe::parse("x", text, &[]).unwrap_err().message;
        assert!(error("").contains("no model size"));
        assert!(error("[model.S]\nchannels = 10\nheads = 3").contains("multiple of heads"));
        assert!(
            error("[model.S]\n[model.L]\nlayers = 9\n[sft]\nlr = { S = 1.0 }")
                .contains("sft.lr has no value for size L")
        );
        assert!(error("[model.S]\n[ppo]\nbatch = 10\nminibatch = 3").contains("multiple of ppo.minibatch"));
    }

    #[test]
    fn names_lead_nowhere_else() {
        let error = |text: &str| Recipe::parse("x", text, &[]).unwrap_err();
        for size in ["/tmp/S", "../S", "a/b", ".", "", " S", "a\\b", "S.1", "C:S"] {
            let failure = error(&format!("[model.{size:?}]\nlayers = 1"));
            assert!(
                failure.kind == Kind::Usage && failure.message.contains("a size names folders"),
                "{size}: {failure}"
            );
        }
        for name in ["/tmp/run", "../run", "", "..", "a/../../b"] {
            let message = error(&format!("name = {name:?}\n[model.S]")).message;
            assert!(message.contains("it names a folder"), "{name}: {message}");
        }
        assert!(Recipe::parse("x", "name = \"my run v1.2\"\n[model.S-1_b]", &[]).is_ok());
    }

    #[test]
    fn a_profile_is_read_even_when_nobody_asks_for_it() {
        let error = |text: &str| Recipe::parse("x", text, &[]).unwrap_err().message;
        let high = error("[model.S]\n[profile.quick]\nppo = { lr = nan }");
        assert_eq!(high, "x with [profile.quick]: ppo.lr = NaN: it is a number above 0");
        let unknown = error("[model.S]\n[profile.smoke]\nppo = { mmax_new = 3 }");
        assert!(unknown.contains("[profile.smoke]") && unknown.contains("did you mean `max_new`"), "{unknown}");
        assert!(error("[model.S]\n[profile.fast]\nseed = 2").contains("there are quick and smoke"));
    }

    #[test]
    fn no_such_recipe_suggests_one() {
        let error = find("mnii").unwrap_err().message;
        assert!(error.contains("Did you mean mini?"), "{error}");
    }
}
