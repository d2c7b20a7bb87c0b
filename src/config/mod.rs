//! A recipe: one TOML file that says all of a run. Unknown keys are errors; the resolved recipe is saved with the run.
//! It is data: which methods there are, and what a stage wants of it, `stages` knows.

pub mod keys;
mod overrides;
pub mod sections;
mod suggest;

pub use keys::Section;
pub use overrides::value as parse_value;
pub use suggest::nearest;

use crate::error::{Failure, Kind, Result};
use clap::{Args, Command};
use keys::{of_size, read, rename, stranger, unknown};
use sections::{Data, Eval, Rankings, Shape, Tokenizer, World, given};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
    pub rankings: Rankings,
    pub eval: Eval,
    /// What `quick = true` and `smoke = true` change. Gone from the resolved recipe.
    #[serde(skip_serializing_if = "Table::is_empty")]
    pub profile: Table,
    /// The sections of methods, such as `[sft]`: every key, and those that differ by size as a table of sizes.
    #[serde(flatten)]
    pub methods: BTreeMap<String, Value>,
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
            rankings: Rankings::default(),
            eval: Eval::default(),
            profile: Table::new(),
            methods: BTreeMap::new(),
        }
    }
}

impl Recipe {
    /// The recipe that a text says, with `--set key=value` applied: first the profile that `quick` or `smoke` asks for,
    /// then the values themselves. `methods`: the sections that there are besides. `check`: what they want of each other.
    pub fn parse(
        origin: &str,
        text: &str,
        sets: &[String],
        methods: &[Section],
        check: &dyn Fn(&Recipe) -> Result,
    ) -> Result<Recipe> {
        let plain: Recipe = toml::from_str(text).map_err(|e| explain(origin, text, &e))?;
        let mut table: Table = text.parse().map_err(|e| explain(origin, text, &e))?;
        if let Err((keys, why)) = known(&mut table, methods) {
            let place = line_of(text, &keys).map_or(origin.to_string(), |line| format!("{origin}:{line}"));
            return Err(Failure::usage(format!("{place}: {why}")));
        }
        let mut set = table.clone();
        sets.iter().try_for_each(|s| overrides::set(&mut set, s, methods))?;
        let wanted = |profile: &str| set.get(profile).and_then(Value::as_bool) == Some(true);
        // A resolved recipe names the profile that made it, and no longer carries it.
        let resolved = |profile: &str| {
            let own = if profile == "quick" { plain.quick } else { plain.smoke };
            own && !plain.profile.contains_key(profile)
        };
        let wanted: Vec<&str> = PROFILES.into_iter().filter(|p| wanted(p) && !resolved(p)).collect();
        let with = |profiles: &[&str]| resolve(origin, &table, profiles, sets, methods, check);
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

    /// The keys of a method's section for a size.
    pub fn table(&self, section: &str, size: &str) -> Table {
        let table = self.methods[section].as_table().expect("known() made sure of sections");
        of_size(section, table, size).expect("complete() made sure of every size")
    }

    /// The same as the method reads them.
    pub fn method<C: Args + Serialize>(&self, section: &str, size: &str) -> C {
        read(section, &self.table(section, size)).expect("complete() made sure of ranges")
    }

    /// Are the sizes models that are there already?
    pub fn starts_from_models(&self) -> bool {
        self.model.values().any(|shape| given(&shape.from).is_some())
    }

    fn check_ranges(&self) -> Result {
        fn check<S: Args + Serialize>(place: &str, section: &S) -> Result {
            read::<S>(place, &Table::try_from(section).expect("a section is plain values")).map(drop)
        }
        check("data.", &self.data)?;
        check("world.", &self.world)?;
        check("tokenizer.", &self.tokenizer)?;
        self.model.iter().try_for_each(|(size, shape)| check(&format!("model.{size}."), shape))?;
        check("rankings.", &self.rankings)?;
        check("eval.", &self.eval)
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
        }
        let Rankings { k_min, k_max, .. } = self.rankings;
        if k_min < 2 || k_max < k_min {
            return fail(format!("rankings.k_min = {k_min}, k_max = {k_max}; at least 2, and not less than k_min"));
        }
        Ok(())
    }
}

/// Old spellings become today's, and every section is one that there is. Else the keys that lead to what is wrong, and
/// what to say of it.
fn known(table: &mut Table, methods: &[Section]) -> std::result::Result<(), (Vec<String>, String)> {
    let own = Table::try_from(Recipe { profile: Table::from_iter([("x".into(), 0.into())]), ..Recipe::default() });
    let own = own.expect("plain values");
    if let Some(key) = table.keys().find(|key| !own.contains_key(*key) && methods.iter().all(|m| m.name != *key)) {
        let names = own.keys().map(String::as_str).chain(methods.iter().map(|m| m.name));
        return Err((vec![key.clone()], unknown(key, names)));
    }
    let with = |section: &str, e: String| (vec![section.to_string()], format!("[{section}]: {e}"));
    for method in methods {
        let Some(section) = table.get_mut(method.name) else { continue };
        let section = section.as_table_mut().ok_or_else(|| with(method.name, "it is a section".into()))?;
        let command = method.command();
        rename(&command, section).map_err(|e| with(method.name, e))?;
        if let Some((key, why)) = stranger(&command, section) {
            return Err((vec![method.name.to_string(), key], why));
        }
    }
    let old = |name: &str, section: &mut Value, command: &Command| {
        section.as_table_mut().map_or(Ok(()), |section| rename(command, section)).map_err(|e| with(name, e))
    };
    if let Some(section) = table.get_mut("eval") {
        old("eval", section, &Section::of::<Eval>("eval").command())?;
    }
    if let Some(sizes) = table.get_mut("model").and_then(Value::as_table_mut) {
        let command = Section::of::<Shape>("model").command();
        sizes.iter_mut().try_for_each(|(_, section)| old("model", section, &command))?;
    }
    for profile in PROFILES {
        let changes = table.get_mut("profile").and_then(|all| all.get_mut(profile)).and_then(Value::as_table_mut);
        if let Some(changes) = changes {
            known(changes, methods).map_err(|(keys, why)| {
                let keys = ["profile".to_string(), profile.to_string()].into_iter().chain(keys).collect();
                (keys, format!("[profile.{profile}]: {why}"))
            })?;
        }
    }
    Ok(())
}

/// The line on which a key stands.
fn line_of(text: &str, keys: &[String]) -> Option<usize> {
    let parsed = toml::de::DeTable::parse(text).ok()?;
    let (last, path) = keys.split_last()?;
    let mut table = parsed.get_ref();
    for key in path {
        table = table.get(key.as_str())?.get_ref().as_table()?;
    }
    let start = table.keys().find(|key| key.get_ref() == last.as_str())?.span().start;
    Some(1 + text[..start].matches('\n').count())
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
fn resolve(
    origin: &str,
    table: &Table,
    profiles: &[&str],
    sets: &[String],
    methods: &[Section],
    check: &dyn Fn(&Recipe) -> Result,
) -> Result<Recipe> {
    let (mut table, mut name) = (table.clone(), origin.to_string());
    let all = table.remove("profile");
    for profile in profiles {
        let Some(changes) = all.as_ref().and_then(|all| all.get(*profile)).and_then(Value::as_table) else {
            return Err(Failure::usage(format!(
                "{origin} has no [profile.{profile}], so {profile} = true says nothing"
            )));
        };
        overrides::merge(&mut table, changes);
        name = format!("{name} with [profile.{profile}]");
    }
    for set in sets {
        overrides::set(&mut table, set, methods)?;
    }
    table.remove("profile");
    let mut recipe: Recipe = table
        .try_into()
        .map_err(|e: toml::de::Error| Failure::usage(format!("{name}: {}", with_suggestion(e.message()))))?;
    recipe.check().map_err(|e| e.context(&name))?;
    let sizes: Vec<String> = recipe.sizes().into_iter().map(String::from).collect();
    let sizes: Vec<&str> = sizes.iter().map(String::as_str).collect();
    for method in methods {
        let given = recipe.methods.remove(method.name).and_then(|v| v.as_table().cloned()).unwrap_or_default();
        let all = method.complete(&format!("{}.", method.name), &given, &sizes).map_err(|e| e.context(&name))?;
        recipe.methods.insert(method.name.into(), Value::Table(all));
    }
    check(&recipe).map_err(|e| e.context(&name))?;
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
