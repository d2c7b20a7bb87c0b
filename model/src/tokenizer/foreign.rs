//! Tokenizers that ask for more than our own BPE does, through Hugging Face's `tokenizers` crate: it encodes; added
//! tokens are found and ids are decoded here, as for our own. What is written is the file that was read.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Fault, malformed, unsupported};
use super::files::Ends;
use super::json::{AddedToken, Kind, added_of, build, parts};
use super::{Prefix, Split, Tokenizer};

pub struct Foreign {
    /// The file.
    pub text: String,
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
pub fn parse(text: &str, mut file: Value, ends: &Ends) -> Result<Tokenizer, Fault> {
    let kind = kind(&file)?;
    if file["model"]["dropout"].as_f64().is_some_and(|p| p > 0.0) {
        return unsupported("BPE option", "dropout");
    }
    let prefix = prefix(&file);
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
    let added = Vec::<AddedToken>::deserialize(&file["added_tokens"]).unwrap_or_default();
    let vocab: BTreeMap<String, u32> = start.get_vocab(false).into_iter().collect();
    let mut tokenizer = build(vocab, &[], added_of(added)?, kind, ends)?;
    if let Some(first) = first_token(&start)? {
        tokenizer.bos = Some(first);
    }
    tokenizer.prefix = prefix;
    tokenizer.foreign = Some(Arc::new(Foreign { text: text.to_string(), start, more }));
    Ok(tokenizer)
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
    let change = |part: &mut Value| match part["type"].as_str() {
        Some("Metaspace") => part["prepend_scheme"] = json!("never"),
        Some("Prepend") => part["prepend"] = json!(""),
        Some("ByteLevel") => part["add_prefix_space"] = json!(false),
        _ => {}
    };
    for (component, list) in [("normalizer", "normalizers"), ("pre_tokenizer", "pretokenizers")] {
        let component = &mut file[component];
        match component[list].as_array_mut() {
            Some(parts) => parts.iter_mut().for_each(change),
            None => change(component),
        }
    }
}

/// The token that every text starts with, found by trying.
fn first_token(inner: &tokenizers::Tokenizer) -> Result<Option<u32>, Fault> {
    let encode = |special| inner.encode_fast("a", special).map(|encoding| encoding.get_ids().to_vec());
    let (Ok(bare), Ok(whole)) = (encode(false), encode(true)) else { return malformed("it cannot encode \"a\"") };
    match whole.strip_suffix(&bare[..]) {
        Some([]) => Ok(None),
        Some([first]) => Ok(Some(*first)),
        _ => unsupported("post-processor", "one that puts more than a start token around a text"),
    }
}
