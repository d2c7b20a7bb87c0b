//! What lies beside a vocabulary: what its tokens are for, tokens that it does not list, and all else that other
//! programs keep there. It is kept as it was, so that what is saved says what was read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::error::{Fault, TokenizerError, malformed};
use super::files::{read_text, written};
use super::{Added, Tokenizer};
use crate::json::Object;

pub const CONFIG: &str = "tokenizer_config.json";
const MAP: &str = "special_tokens_map.json";
const ADDED: &str = "added_tokens.json";
/// Chat templates by other names than the usual one.
pub const TEMPLATES: &str = "additional_chat_templates";

/// What tokens are for, in the order in which `transformers` gives new ones their ids.
const ROLES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Names of the end of a text, where nothing says which token it is.
const USUAL_ENDS: [&str; 6] = ["<|endoftext|>", "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "<|eot_id|>"];

/// The files beside a vocabulary, as far as they are there.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    /// tokenizer_config.json.
    pub config: Object,
    /// special_tokens_map.json.
    map: Option<Object>,
    /// added_tokens.json.
    added: Option<Object>,
    /// Templates by name.
    templates: Vec<(String, String)>,
    /// What generation_config.json or config.json say.
    eos: Option<u64>,
    bos: Option<u64>,
    /// `model_type` of config.json.
    pub model_type: Option<String>,
}

/// A token that a file beside the vocabulary names.
struct Declared {
    id: Option<u64>,
    added: Added,
}

impl Beside {
    /// What a model directory has.
    pub fn of(dir: &Path) -> Result<Beside, TokenizerError> {
        let read = |name: &str| -> Result<Option<Object>, TokenizerError> {
            let path = dir.join(name);
            if !path.exists() {
                return Ok(None);
            }
            match crate::json::parse(&read_text(&path)?) {
                Ok(Value::Object(object)) => Ok(Some(object)),
                Ok(_) => Err(TokenizerError::Malformed { path, reason: "expected a JSON object".into() }),
                Err(error) => Err(TokenizerError::Malformed { path, reason: error.to_string() }),
            }
        };
        let (generation, config) = (read("generation_config.json")?, read("config.json")?);
        let id = |file: &Option<Object>| {
            let value = file.as_ref()?.get("eos_token_id")?;
            value.as_u64().or(value[0].as_u64())
        };
        let model_type = config.as_ref().and_then(|config| config.get("model_type")?.as_str().map(String::from));
        Ok(Beside {
            config: read(CONFIG)?.unwrap_or_default(),
            map: read(MAP)?,
            added: read(ADDED)?,
            templates: templates(&dir.join(TEMPLATES))?,
            eos: id(&generation).or(id(&config)),
            bos: None,
            model_type,
        })
    }

    /// tokenizer_config.json for a file that has a key for its template; nothing where there is none.
    pub fn text(&self) -> Option<String> {
        let mut config = self.config.clone();
        if config.get("chat_template").is_some_and(Value::is_string) {
            config.remove("chat_template");
        }
        for (key, value) in self.map.iter().flatten().filter(|_| !self.config.contains_key("added_tokens_decoder")) {
            config.insert(key.clone(), value.clone());
        }
        (!config.is_empty()).then(|| Value::Object(config).to_string())
    }

    /// Ids, where a file has them beside its vocabulary.
    pub fn numbered(config: Object, eos: Option<u64>, bos: Option<u64>) -> Beside {
        Beside { config, eos, bos, ..Beside::default() }
    }

    /// The text of the token that has this role.
    pub fn token(&self, role: &str) -> Option<&str> {
        // of old files, the map says it last
        let map = self.map.as_ref().filter(|_| !self.config.contains_key("added_tokens_decoder"));
        text(map.and_then(|map| map.get(role)).or(self.config.get(role))?)
    }

    /// Are there chat templates by name in tokenizer_config.json? A file of one would hide them.
    pub fn has_named_templates(&self) -> bool {
        self.config.get("chat_template").is_some_and(Value::is_array)
    }

    /// All that have a role, by it.
    pub fn tokens(&self) -> BTreeMap<String, String> {
        ROLES.iter().filter_map(|role| Some((role.to_string(), self.token(role)?.to_string()))).collect()
    }

    /// Does a text start with its start token although the vocabulary's file does not say so?
    fn adds_bos(&self) -> bool {
        self.config.get("add_bos_token") == Some(&json!(true))
    }

    /// The token ids of the end and, if there is one, of the start of a text.
    pub fn ends(
        &self,
        vocab: &BTreeMap<String, u32>,
        added: &BTreeMap<u32, Added>,
        size: usize,
    ) -> Result<(u32, Option<u32>), Fault> {
        let is_added = |text: &str| added.iter().find(|(_, token)| token.text == text).map(|(&id, _)| id);
        let named = |role: &str| self.token(role).and_then(|text| is_added(text).or(vocab.get(text).copied()));
        let numbered = |id: Option<u64>| u32::try_from(id?).ok().filter(|&id| (id as usize) < size);
        let usual = || USUAL_ENDS.into_iter().find_map(is_added);
        let bos = numbered(self.bos).or_else(|| named("bos_token").filter(|_| self.adds_bos()));
        match named("eos_token").or_else(|| numbered(self.eos)).or_else(usual) {
            Some(eos) => Ok((eos, bos)),
            None => malformed(format!(
                "no token ends a text: expected \"eos_token\" in tokenizer_config.json, or one of {} among added_tokens",
                USUAL_ENDS.join(" ")
            )),
        }
    }

    /// Tokens that are named by what they are for: control tokens. The words of lists come last.
    fn named(&self) -> Vec<Added> {
        let map = self.map.as_ref().filter(|_| !self.config.contains_key("added_tokens_decoder"));
        let value = |key: &str| map.and_then(|map| map.get(key)).or(self.config.get(key));
        let own = self.config.keys().filter(|key| key.ends_with("_token") && !ROLES.contains(&key.as_str()));
        let mut values: Vec<&Value> = ROLES.into_iter().chain(own.map(String::as_str)).filter_map(value).collect();
        for list in ["extra_special_tokens", "additional_special_tokens"].into_iter().filter_map(value) {
            match list {
                Value::Array(list) => values.extend(list),
                Value::Object(list) => values.extend(list.values()),
                _ => {}
            }
        }
        values.into_iter().filter_map(|value| added(value, true)).collect()
    }

    /// All tokens that files declare beside the vocabulary, as `transformers` reads them.
    fn declared(&self) -> Result<Vec<Declared>, Fault> {
        let named = self.named();
        let names: HashSet<&str> = named.iter().map(|token| token.text.as_str()).collect();
        let mut all = vec![];
        match (self.config.get("added_tokens_decoder"), &self.added) {
            (Some(Value::Object(decoder)), _) => {
                for (id, value) in decoder {
                    let (Ok(id), Some(token)) = (id.parse(), added(value, false)) else {
                        return malformed(format!("`added_tokens_decoder` of {CONFIG}: {id:?} is no token: {value}"));
                    };
                    all.push(Declared { id: Some(id), added: token });
                }
            }
            (_, Some(file)) => {
                for (text, id) in file {
                    let Some(id) = id.as_u64() else {
                        return malformed(format!("{ADDED}: the id of {text:?} is {id}, expected a whole number"));
                    };
                    all.push(Declared { id: Some(id), added: Added::new(text, false) });
                }
            }
            _ => {}
        }
        all.sort_by_key(|declared| declared.id);
        all.iter_mut().filter(|d| names.contains(d.added.text.as_str())).for_each(|d| d.added.special = true);
        all.extend(named.iter().map(|token| Declared { id: None, added: token.clone() }));
        all.retain(|declared| !declared.added.text.is_empty());
        Ok(all)
    }

    /// Adds what is declared beside the vocabulary to its `added` tokens: at its place in the vocabulary, at the id that
    /// is written there, or after all others. `merges`: two pieces each, which make another.
    pub fn declare<'a>(
        &self,
        vocab: &BTreeMap<String, u32>,
        merges: impl Iterator<Item = (&'a str, &'a str)>,
        added: &mut BTreeMap<u32, Added>,
    ) -> Result<(), Fault> {
        let declared = self.declared()?;
        if declared.is_empty() {
            return Ok(());
        }
        let pieces: HashMap<u32, &str> = vocab.iter().map(|(text, &id)| (id, text.as_str())).collect();
        let mut known: HashMap<String, u32> = added.iter().map(|(&id, token)| (token.text.clone(), id)).collect();
        let ordinary = ordinary(declared.iter().map(|d| d.added.text.as_str()), vocab, merges);
        let mut next = pieces.keys().chain(added.keys()).max().map_or(0, |&id| u64::from(id) + 1);
        for Declared { id: wanted, added: token } in declared {
            let there = known.get(&token.text).or(vocab.get(&token.text)).copied();
            if let (Some(there), Some(wanted)) = (there, wanted.filter(|&id| Some(id) != there.map(u64::from))) {
                return malformed(format!("{:?} is token {there}, and token {wanted} in a file beside it", token.text));
            }
            if let Some(known) = known.get(&token.text).and_then(|id| added.get_mut(id)) {
                known.special |= token.special;
                continue;
            }
            if there.is_some() && wanted.is_none() && ordinary.contains(&token.text) {
                continue; // a letter or a word that has a role besides, such as a padding token `!`
            }
            let id = there.map_or_else(|| wanted.unwrap_or(next), u64::from);
            let Ok(id) = u32::try_from(id) else { return malformed(format!("{:?} is token {id}", token.text)) };
            let other = added.get(&id).map(|token| token.text.as_str()).or(pieces.get(&id).copied());
            if let Some(other) = other.filter(|other| *other != token.text) {
                return malformed(format!("id {id} belongs to {:?} and to another token, {other:?}", token.text));
            }
            next = next.max(u64::from(id) + 1);
            known.insert(token.text.clone(), id);
            added.insert(id, token);
        }
        Ok(())
    }

    /// Writes them into a model directory. `pad`: another padding token than they say, or none.
    pub fn write(&self, dir: &Path, tokenizer: &Tokenizer, pad: Option<Option<u32>>) -> Result<(), TokenizerError> {
        let mut config = match self.config.is_empty() {
            true => self.fresh(tokenizer),
            false => self.config.clone(),
        };
        if tokenizer.text.is_none() {
            config.entry("tokenizer_class").or_insert("PreTrainedTokenizerFast".into());
        }
        let mut map = self.map.clone();
        if let Some(pad) = pad {
            let name = pad.and_then(|id| Some(tokenizer.added.get(&id)?.text.clone()));
            for file in [Some(&mut config), map.as_mut()].into_iter().flatten() {
                match &name {
                    Some(name) => drop(file.insert("pad_token".into(), name.clone().into())),
                    None => drop(file.remove("pad_token")),
                }
            }
        }
        write_object(&dir.join(CONFIG), &config)?;
        for (name, object) in [(MAP, &map), (ADDED, &self.added)] {
            if let Some(object) = object {
                write_object(&dir.join(name), object)?;
            }
        }
        if !self.templates.is_empty() {
            let dir = dir.join(TEMPLATES);
            written(&dir, fs::create_dir_all(&dir))?;
            for (name, text) in &self.templates {
                let path = dir.join(format!("{name}.jinja"));
                written(&path, fs::write(&path, text))?;
            }
        }
        Ok(())
    }

    /// Of a tokenizer that nothing lay beside.
    fn fresh(&self, tokenizer: &Tokenizer) -> Object {
        let name = |id: u32| tokenizer.added.get(&id).map(|token| token.text.clone());
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": name(tokenizer.eos()),
            "bos_token": tokenizer.bos().and_then(name),
            "add_bos_token": tokenizer.bos().is_some(),
            "clean_up_tokenization_spaces": false,
        });
        config.as_object().expect("it is one").clone()
    }
}

/// Those of the names that the vocabulary makes of ordinary text: single characters, and what merges make.
fn ordinary<'a, 'b>(
    names: impl Iterator<Item = &'a str>,
    vocab: &BTreeMap<String, u32>,
    merges: impl Iterator<Item = (&'b str, &'b str)>,
) -> HashSet<String> {
    let there: HashSet<&str> = names.filter(|name| vocab.contains_key(*name)).collect();
    let mut ordinary: HashSet<String> =
        there.iter().filter(|name| name.chars().nth(1).is_none()).map(|name| name.to_string()).collect();
    if !there.is_empty() {
        ordinary.extend(merges.map(|(left, right)| format!("{left}{right}")).filter(|made| there.contains(&made[..])));
    }
    ordinary
}

/// A token as a text, or as an object with its options.
fn added(value: &Value, special: bool) -> Option<Added> {
    let flag = |key: &str| value.get(key) == Some(&Value::Bool(true));
    Some(Added {
        special: special || flag("special"),
        strip: (flag("lstrip"), flag("rstrip")),
        single_word: flag("single_word"),
        ..Added::new(text(value)?, false)
    })
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

fn templates(dir: &Path) -> Result<Vec<(String, String)>, TokenizerError> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(vec![]) };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "jinja"));
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| Ok((name(path), read_text(path)?))).collect()
}

fn write_object(path: &Path, object: &Object) -> Result<(), TokenizerError> {
    written(path, fs::write(path, format!("{:#}\n", Value::Object(object.clone()))))
}
