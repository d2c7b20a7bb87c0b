//! Tokenizers that ask for more than our own BPE does, through Hugging Face's `tokenizers` crate: it encodes; added
//! tokens are found and ids are decoded here, as for our own. The crate is given the vocabulary without the names of
//! control tokens, so that no text can become one: a unigram model has them among its pieces.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::around::Around;
use super::beside::Beside;
use super::error::{Fault, malformed, unsupported};
use super::json::{AddedToken, Kind, added_of, build, parts, vocab_of};
use super::{Prefix, Split, Tokenizer, Unknown};

pub struct Foreign {
    start: tokenizers::Tokenizer,
    /// For text that goes on from other text, where `start` puts a space in front.
    more: Option<tokenizers::Tokenizer>,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Foreign")
    }
}

impl Foreign {
    /// The ids of text without added tokens, with or without the space that this tokenizer puts before a text.
    #[track_caller]
    pub fn encode(&self, text: &str, prefixed: bool) -> Vec<u32> {
        let inner = self.more.as_ref().filter(|_| !prefixed).unwrap_or(&self.start);
        match inner.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            Err(error) => panic!("a tokenizer that was tried when it was read cannot encode {text:?}: {error}"),
        }
    }
}

/// Reads a file that is known to be JSON.
pub fn parse(mut file: Value, beside: &Beside) -> Result<Tokenizer, Fault> {
    let kind = kind(&file)?;
    if file["model"]["dropout"].as_f64().is_some_and(|p| p > 0.0) {
        return unsupported("BPE option", "dropout");
    }
    let prefix = prefix(&file);
    let added = Vec::<AddedToken>::deserialize(&file["added_tokens"]).unwrap_or_default();
    let vocab = vocab(&file["model"])?;
    let unk = unknown(&file["model"], &vocab);
    let merges = merges(&file["model"]);
    let mut added = added_of(added);
    beside.declare(&vocab, merges.iter().map(|(left, right)| (&left[..], &right[..])), &mut added)?;
    let mut tokenizer = build(vocab, &[], added, kind, beside)?;
    without_controls(&mut file, &tokenizer);
    // a text is never cut or filled up on the quiet
    (file["truncation"], file["padding"]) = (Value::Null, Value::Null);
    let start = load(&file)?;
    let more = match prefix {
        Prefix::Never => None,
        _ => {
            without_prefix(&mut file);
            Some(load(&file)?)
        }
    };
    tokenizer.starts_and_closes(around(&start)?)?;
    tokenizer.unk = unk;
    tokenizer.prefix = prefix;
    tokenizer.foreign = Some(Arc::new(Foreign { start, more }));
    Ok(tokenizer)
}

/// Pieces and their ids: an object, or a list of pieces with their scores.
fn vocab(model: &Value) -> Result<BTreeMap<String, u32>, Fault> {
    let Some(list) = model["vocab"].as_array() else { return vocab_of(&model["vocab"]) };
    let piece = |(id, entry): (usize, &Value)| match entry[0].as_str() {
        Some(piece) => Ok((piece.to_string(), id as u32)),
        None => malformed(format!("token {id} is {entry}, expected a piece and its score")),
    };
    list.iter().enumerate().map(piece).collect()
}

fn merges(model: &Value) -> Vec<(String, String)> {
    let merge = |merge: &Value| match merge.as_str() {
        Some(both) => both.split_once(' ').map(|(left, right)| (left.to_string(), right.to_string())),
        None => Some((merge[0].as_str()?.to_string(), merge[1].as_str()?.to_string())),
    };
    model["merges"].as_array().into_iter().flatten().filter_map(merge).collect()
}

/// What text becomes that has no token.
fn unknown(model: &Value, vocab: &BTreeMap<String, u32>) -> Option<Unknown> {
    let numbered = model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
    let named = || model["unk_token"].as_str().and_then(|name| vocab.get(name).copied());
    numbered.or_else(named).map(|id| Unknown { id, fuse: true })
}

/// Gives pieces that are control tokens names that no text has, and takes out what else knows them.
fn without_controls(file: &mut Value, tokenizer: &Tokenizer) {
    let random = || RandomState::new().build_hasher().finish();
    let secret = format!("{:016x}{:016x}", random(), random());
    let controls = tokenizer.added.iter().filter(|(_, token)| token.special);
    let renamed: HashMap<&str, String> =
        controls.map(|(id, token)| (token.text.as_str(), format!("{secret}-{id}"))).collect();
    file["added_tokens"] = json!([]);
    let model = &mut file["model"];
    match &mut model["vocab"] {
        Value::Array(list) => {
            for piece in list.iter_mut().filter_map(|entry| entry.get_mut(0)) {
                if let Some(name) = piece.as_str().and_then(|text| renamed.get(text)) {
                    *piece = name.clone().into();
                }
            }
        }
        Value::Object(map) => {
            for (text, name) in &renamed {
                if let Some(id) = map.remove(*text) {
                    map.insert(name.clone(), id);
                }
            }
        }
        _ => {}
    }
    if let Some(name) = model["unk_token"].as_str().and_then(|text| renamed.get(text)) {
        model["unk_token"] = name.clone().into();
    }
    if let Some(list) = model.get_mut("merges").and_then(Value::as_array_mut) {
        let is_control = |part: &str| renamed.contains_key(part);
        list.retain(|merge| {
            let (left, right) = match merge.as_str() {
                Some(both) => both.split_once(' ').unwrap_or_default(),
                None => (merge[0].as_str().unwrap_or_default(), merge[1].as_str().unwrap_or_default()),
            };
            !is_control(left) && !is_control(right) && !is_control(&format!("{left}{right}"))
        });
    }
}

/// The crate panics on some broken files, so a panic is a broken file. Whatever it reads must encode what we try.
fn load(file: &Value) -> Result<tokenizers::Tokenizer, Fault> {
    let bytes = file.to_string();
    let load = || -> Result<_, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(|error| error.to_string())?;
        inner.set_encode_special_tokens(true);
        for text in ["Naïve\u{301} 日本 🙂\n\t 12", "\u{10fffd}\u{0}\u{e000}", " "] {
            inner.encode_fast(text, false).map_err(|error| error.to_string())?;
        }
        Ok(inner)
    };
    match catch_unwind(AssertUnwindSafe(load)) {
        Ok(Ok(inner)) => Ok(inner),
        Ok(Err(reason)) => malformed(reason),
        Err(_) => malformed("it makes the `tokenizers` library fail; download it again"),
    }
}

fn has(component: &Value, list: &str, wanted: impl Fn(&Value) -> bool) -> bool {
    parts(component, list).into_iter().any(wanted)
}

/// What the pieces of the vocabulary are made of, which the decoder knows.
fn kind(file: &Value) -> Result<Kind, Fault> {
    let decoder = &file["decoder"];
    let is = |name: &'static str| move |part: &Value| part["type"] == name;
    if has(decoder, "decoders", is("ByteLevel")) {
        return Ok(Kind::Bytes(Split::Whole));
    }
    let spaces = |part: &Value| part["type"] == "Metaspace" || part["type"] == "ByteFallback";
    match has(decoder, "decoders", spaces) {
        true => Ok(Kind::Sentencepiece(Prefix::Never)),
        false => unsupported("decoder", decoder["type"].as_str().unwrap_or("none")),
    }
}

/// Where this tokenizer puts a space before text.
fn prefix(file: &Value) -> Prefix {
    let scheme = |part: &Value| match part["type"].as_str() {
        Some("Metaspace") if part["prepend_scheme"] == "never" => Prefix::Never,
        Some("Metaspace") if part["prepend_scheme"] == "first" => Prefix::First,
        Some("Metaspace") => Prefix::Each,
        Some("ByteLevel") if part["add_prefix_space"] == true => Prefix::Each,
        Some("Prepend") => Prefix::Always,
        _ => Prefix::Never,
    };
    let components = parts(&file["normalizer"], "normalizers").into_iter();
    let components = components.chain(parts(&file["pre_tokenizer"], "pretokenizers"));
    components.map(scheme).find(|&prefix| prefix != Prefix::Never).unwrap_or(Prefix::Never)
}

fn without_prefix(file: &mut Value) {
    change(file, |part| match part["type"].as_str() {
        Some("Metaspace") => part["prepend_scheme"] = json!("never"),
        Some("Prepend") => part["prepend"] = json!(""),
        Some("ByteLevel") => part["add_prefix_space"] = json!(false),
        _ => {}
    });
}

/// Puts a space before every text that has none.
pub fn set_prefix(file: &mut Value) {
    change(file, |part| {
        if part["type"] == "ByteLevel" {
            part["add_prefix_space"] = json!(true);
        }
    });
}

/// Changes the parts of normalizer and pre-tokenizer, where there are any.
fn change(file: &mut Value, change: impl Fn(&mut Value)) {
    for (component, list) in [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")] {
        match file.get_mut(component) {
            None | Some(Value::Null) => {}
            Some(component) => match component.get_mut(list).and_then(Value::as_array_mut) {
                Some(parts) => parts.iter_mut().for_each(&change),
                None => change(component),
            },
        }
    }
}

/// What is put around every text, found by trying.
fn around(inner: &tokenizers::Tokenizer) -> Result<Around, Fault> {
    let encode = |special| inner.encode_fast("a", special).map(|encoding| encoding.get_ids().to_vec());
    let (Ok(bare), Ok(whole)) = (encode(false), encode(true)) else { return malformed("it cannot encode \"a\"") };
    let Some(at) = (0..=whole.len()).find(|&at| whole[at..].starts_with(&bare)) else {
        return unsupported("post-processor", "one that changes text");
    };
    let ids = |ids: &[u32]| ids.iter().map(|&id| id.into()).collect();
    Ok(Around { before: ids(&whole[..at]), after: ids(&whole[at + bare.len()..]) })
}
