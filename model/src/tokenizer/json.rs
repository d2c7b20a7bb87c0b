//! `tokenizer.json` as the Hugging Face `tokenizers` library writes it, in and out: a BPE model with either
//! a byte-level pre-tokenizer or sentencepiece's byte fallback; what asks for more is left to [`super::foreign`].
//! Merges are read in both spellings, `"a b"` and `["a", "b"]`, and written in the first, which every version reads.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Fault, malformed, unsupported};
use super::files::Ends;
use super::hash::FastMap;
use super::sentencepiece::{self, SPACE};
use super::{Added, Prefix, Split, Tokenizer, Units, alphabet, bpe, foreign, single_bytes};

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: Model,
}

#[derive(Deserialize)]
pub struct AddedToken {
    id: u32,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    vocab: Value,
    #[serde(default)]
    merges: Vec<MergeText>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MergeText {
    Joined(String),
    Pair(String, String),
}

/// How words are cut and what they are made of.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Bytes(Split),
    Sentencepiece(Prefix),
}

pub fn parse(text: &str, ends: &Ends) -> Result<Tokenizer, Fault> {
    let file: Value = serde_json::from_str(text).map_err(|error| Fault::Malformed(error.to_string()))?;
    match parse_own(&file, ends) {
        Err(Fault::Unsupported { part, name }) => foreign::parse(text, file, ends).map_err(|fault| match fault {
            Fault::Malformed(reason) => Fault::Malformed(reason),
            Fault::Unsupported { .. } => Fault::Unsupported { part, name },
        }),
        read => read,
    }
}

/// Only what our own BPE does faithfully.
pub fn parse_own(file: &Value, ends: &Ends) -> Result<Tokenizer, Fault> {
    let file = File::deserialize(file).map_err(|error| Fault::Malformed(error.to_string()))?;
    match file.model.kind.as_deref() {
        Some("BPE") | None => {}
        Some(other) => return unsupported("model", other),
    }
    let model = &file.model;
    for (name, is_set) in [
        ("dropout", model.dropout.is_some_and(|p| p > 0.0)),
        ("continuing_subword_prefix", model.continuing_subword_prefix.as_deref().is_some_and(|s| !s.is_empty())),
        ("end_of_word_suffix", model.end_of_word_suffix.as_deref().is_some_and(|s| !s.is_empty())),
    ] {
        if is_set {
            return unsupported("BPE option", name);
        }
    }
    let kind = kind(&file.normalizer, &file.pre_tokenizer, model.byte_fallback)?;
    let first = first_of_template(&file.post_processor)?;
    let vocab = vocab_of(&file.model.vocab)?;
    let merges = file.model.merges.iter().enumerate().map(|(at, merge)| match merge {
        MergeText::Pair(left, right) => Ok((left.as_str(), right.as_str())),
        MergeText::Joined(both) => split_merge(both, at),
    });
    let merges = merges.collect::<Result<Vec<_>, _>>()?;
    let mut tokenizer = build(vocab, &merges, added_of(file.added_tokens)?, kind, ends)?;
    if let Some(first) = first {
        tokenizer.bos = tokenizer.added_token(&first);
    }
    if model.ignore_merges {
        tokenizer.keep_whole_words();
    }
    Ok(tokenizer)
}

pub fn added_of(tokens: Vec<AddedToken>) -> Result<BTreeMap<u32, Added>, Fault> {
    let mut added = BTreeMap::new();
    for token in tokens {
        let AddedToken { id, content, single_word, lstrip, rstrip, special } = token;
        if single_word && !special {
            return unsupported("added token option", "single_word");
        }
        added.insert(id, Added { text: content, special, strip: (lstrip, rstrip) });
    }
    Ok(added)
}

/// GPT-2's own two files. Tokens that are neither bytes nor made by a merge are control tokens.
pub fn parse_gpt2(encoder: &str, bpe: &str, ends: &Ends) -> Result<Tokenizer, Fault> {
    let vocab: Value = serde_json::from_str(encoder).map_err(|error| Fault::Malformed(error.to_string()))?;
    let vocab = vocab_of(&vocab)?;
    let lines = bpe.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges = lines.enumerate().map(|(at, line)| split_merge(line, at)).collect::<Result<Vec<_>, _>>()?;
    let made: std::collections::HashSet<String> = merges.iter().map(|(left, right)| format!("{left}{right}")).collect();
    let is_byte = |text: &str| text.chars().nth(1).is_none() && alphabet::read(text).is_ok();
    let others = vocab.iter().filter(|(text, _)| !is_byte(text) && !made.contains(text.as_str()));
    let added = others.map(|(text, &id)| (id, Added { text: text.clone(), special: true, strip: (false, false) }));
    let added = added.collect();
    build(vocab, &merges, added, Kind::Bytes(Split::Gpt2 { digits: false }), ends)
}

fn vocab_of(value: &Value) -> Result<BTreeMap<String, u32>, Fault> {
    let Some(entries) = value.as_object() else { return malformed("the vocabulary is not an object of token: id") };
    let id = |(text, id): (&String, &Value)| match id.as_u64().and_then(|id| u32::try_from(id).ok()) {
        Some(id) => Ok((text.clone(), id)),
        None => malformed(format!("the id of token {text:?} is {id}, expected a whole number")),
    };
    entries.iter().map(id).collect()
}

pub fn split_merge(text: &str, at: usize) -> Result<(&str, &str), Fault> {
    match text.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => Ok((left, right)),
        _ => malformed(format!("merge {at} is {text:?}, expected two tokens with a space between them")),
    }
}

/// Puts together what the files say, and checks that it fits.
pub fn build(
    vocab: BTreeMap<String, u32>,
    merges: &[(&str, &str)],
    added: BTreeMap<u32, Added>,
    kind: Kind,
    ends: &Ends,
) -> Result<Tokenizer, Fault> {
    let pieces = pieces_of(&vocab, &added, kind)?;
    let id_of: FastMap<&str, u32> = vocab.iter().map(|(text, &id)| (text.as_str(), id)).collect();
    let mut table = bpe::Merges::default();
    for (rank, (left, right)) in merges.iter().enumerate() {
        let find = |text: &str| match id_of.get(text) {
            Some(&id) => Ok(id),
            None => malformed(format!(
                "merge {rank} ({left:?}, {right:?}) needs the token {text:?}, which is not in the vocabulary"
            )),
        };
        let id = find(&format!("{left}{right}"))?;
        table.insert(find(left)?, find(right)?, bpe::Merge { rank: rank as u32, id });
    }
    let (units, split) = match kind {
        Kind::Bytes(split) => (Units::Bytes(single_bytes(&pieces, &added)), split),
        Kind::Sentencepiece(_) => {
            let bytes = std::array::from_fn(|byte| id_of.get(format!("<0x{byte:02X}>").as_str()).copied());
            (sentencepiece::units(&pieces, &added, bytes), Split::Whole)
        }
    };
    let (eos, bos) = ends.resolve(&added, pieces.len())?;
    let mut tokenizer = Tokenizer::new(pieces, table, units, split, added, eos);
    tokenizer.bos = bos;
    if let Kind::Sentencepiece(prefix) = kind {
        tokenizer.prefix = prefix;
    }
    Ok(tokenizer)
}

fn pieces_of(
    vocab: &BTreeMap<String, u32>,
    added: &BTreeMap<u32, Added>,
    kind: Kind,
) -> Result<Vec<Option<Box<[u8]>>>, Fault> {
    let entries = vocab.len() + added.len();
    let size = vocab.values().chain(added.keys()).max().map_or(0, |&id| id as usize + 1);
    if entries == 0 {
        return malformed("the vocabulary is empty");
    }
    if size > 2 * entries + 4096 {
        return malformed(format!("the greatest id is {}, but there are only {entries} tokens", size - 1));
    }
    let mut pieces: Vec<Option<Box<[u8]>>> = vec![None; size];
    for (&id, token) in added {
        if token.text.is_empty() {
            return malformed(format!("added token {id} is empty"));
        }
        pieces[id as usize] = Some(token.text.as_bytes().into());
    }
    for (text, &id) in vocab {
        if added.contains_key(&id) {
            continue;
        }
        if pieces[id as usize].is_some() {
            return malformed(format!("id {id} belongs to {text:?} and to another token"));
        }
        let bytes = match kind {
            Kind::Sentencepiece(_) => sentencepiece::piece(text),
            Kind::Bytes(_) => match alphabet::read(text) {
                Ok(bytes) => bytes,
                Err(c) => {
                    return malformed(format!("token {id} is {text:?}, but {c:?} is not in the byte-level alphabet"));
                }
            },
        };
        pieces[id as usize] = Some(bytes.into_boxed_slice());
    }
    Ok(pieces)
}

/// The `type` of a component and those of its parts if it is a sequence.
pub fn parts<'a>(component: &'a Value, list: &str) -> Vec<&'a Value> {
    match component {
        Value::Null => vec![],
        _ if component["type"] == "Sequence" => {
            component[list].as_array().map(|parts| parts.iter().collect()).unwrap_or_default()
        }
        _ => vec![component],
    }
}

fn type_of(component: &Value) -> String {
    component["type"].as_str().map_or_else(|| component.to_string(), str::to_string)
}

fn kind(normalizer: &Value, pre_tokenizer: &Value, byte_fallback: bool) -> Result<Kind, Fault> {
    let normalizers = parts(normalizer, "normalizers");
    let cutters = parts(pre_tokenizer, "pretokenizers");
    if byte_fallback {
        return sentencepiece_kind(&normalizers, &cutters);
    }
    if let Some(normalizer) = normalizers.first() {
        return unsupported("normalizer", type_of(normalizer));
    }
    let Some((last, before)) = cutters.split_last() else { return unsupported("pre-tokenizer", "none") };
    if last["type"] != "ByteLevel" {
        return unsupported("pre-tokenizer", type_of(last));
    }
    if last["add_prefix_space"] == true {
        return unsupported("pre-tokenizer option", "add_prefix_space");
    }
    match (before, last["use_regex"] != false) {
        ([], true) => Ok(Kind::Bytes(Split::Gpt2 { digits: false })),
        ([digits], true) if digits["type"] == "Digits" && digits["individual_digits"] == true => {
            Ok(Kind::Bytes(Split::Gpt2 { digits: true }))
        }
        ([], false) => Ok(Kind::Bytes(Split::Whole)),
        ([cut], false) if cut["type"] == "Split" => split_of(cut).map(Kind::Bytes),
        ([other, ..], _) => unsupported("pre-tokenizer", type_of(other)),
    }
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const GPT4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn split_of(cut: &Value) -> Result<Split, Fault> {
    let pattern = cut["pattern"]["Regex"].as_str().unwrap_or_default();
    let isolated = cut["behavior"] == "Isolated" && cut["invert"] != true;
    match pattern {
        _ if !isolated => unsupported("pre-tokenizer Split with behavior", cut["behavior"].to_string()),
        GPT2 => Ok(Split::Gpt2 { digits: false }),
        _ if pattern == GPT4.replace("DIGITS", "{1,3}") => Ok(Split::Gpt4 { digits: 3 }),
        _ if pattern == GPT4.replace("DIGITS", "") => Ok(Split::Gpt4 { digits: 1 }),
        _ => unsupported("pre-tokenizer Split with pattern", cut["pattern"].to_string()),
    }
}

/// Llama 2's two spellings of the same: normalizers that write ▁ for a space, or a Metaspace pre-tokenizer.
fn sentencepiece_kind(normalizers: &[&Value], cutters: &[&Value]) -> Result<Kind, Fault> {
    let mut prefix = Prefix::Never;
    for normalizer in normalizers {
        match normalizer["type"].as_str() {
            Some("Prepend") if normalizer["prepend"] == SPACE => prefix = Prefix::Always,
            Some("Replace") if normalizer["pattern"]["String"] == " " && normalizer["content"] == SPACE => {}
            _ => return unsupported("normalizer", type_of(normalizer)),
        }
    }
    for cutter in cutters {
        match cutter["type"].as_str() {
            Some("Metaspace") if cutter["replacement"] == SPACE && cutter["split"] == false => {
                prefix = match cutter["prepend_scheme"].as_str() {
                    Some("never") => Prefix::Never,
                    Some("first") => Prefix::First,
                    _ => Prefix::Each,
                };
            }
            _ => return unsupported("pre-tokenizer", type_of(cutter)),
        }
    }
    Ok(Kind::Sentencepiece(prefix))
}

/// The special token that a template puts before every text.
fn first_of_template(post_processor: &Value) -> Result<Option<String>, Fault> {
    let mut first = None;
    for part in parts(post_processor, "processors") {
        match part["type"].as_str() {
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                first = part["single"][0]["SpecialToken"]["id"].as_str().map(str::to_string);
            }
            _ => return unsupported("post-processor", type_of(part)),
        }
    }
    Ok(first)
}

/// How a token is written in files.
pub fn text_of(tokenizer: &Tokenizer, id: u32) -> String {
    match (tokenizer.added.get(&id), &tokenizer.units) {
        (Some(token), _) => token.text.clone(),
        (None, Units::Bytes(_)) => alphabet::write(tokenizer.piece(id)),
        (None, Units::Chars { bytes, .. }) => sentencepiece::text(id, tokenizer.piece(id), bytes),
    }
}

/// The file, and what `transformers` wants beside it.
pub fn write(tokenizer: &Tokenizer) -> String {
    if let Some(foreign) = &tokenizer.foreign {
        return foreign.text.clone();
    }
    let byte_level = matches!(tokenizer.units, Units::Bytes(_));
    let text_of = |id| text_of(tokenizer, id);
    let ids = (0..tokenizer.pieces.len() as u32).filter(|&id| tokenizer.pieces[id as usize].is_some());
    let vocab: serde_json::Map<String, Value> = ids.map(|id| (text_of(id), id.into())).collect();
    let merges = tokenizer.merges.in_order().into_iter();
    let merges: Vec<String> = merges.map(|(left, right)| format!("{} {}", text_of(left), text_of(right))).collect();
    let added = tokenizer.added.iter().map(|(id, token)| {
        json!({"id": id, "content": token.text, "single_word": false, "lstrip": token.strip.0, "rstrip": token.strip.1,
               "normalized": !token.special, "special": token.special})
    });
    let (normalizer, pre_tokenizer, decoder) = match byte_level {
        true => (
            Value::Null,
            pre_tokenizer_of(tokenizer.split),
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
        ),
        false => sentencepiece_components(tokenizer.prefix),
    };
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": template_of(tokenizer), "decoder": decoder,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": !byte_level, "byte_fallback": !byte_level, "ignore_merges": tokenizer.whole_words.is_some(),
            "vocab": vocab, "merges": merges,
        },
    });
    serde_json::to_string_pretty(&file).expect("strings and numbers are always JSON")
}

fn pre_tokenizer_of(split: Split) -> Value {
    let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let sequence =
        |first: Value, use_regex| json!({"type": "Sequence", "pretokenizers": [first, byte_level(use_regex)]});
    match split {
        Split::Gpt2 { digits: false } => byte_level(true),
        Split::Gpt2 { digits: true } => sequence(json!({"type": "Digits", "individual_digits": true}), true),
        Split::Whole => byte_level(false),
        Split::Gpt4 { digits } => {
            let pattern = GPT4.replace("DIGITS", if digits == 1 { "" } else { "{1,3}" });
            sequence(
                json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false}),
                false,
            )
        }
    }
}

/// Normalizer, pre-tokenizer and decoder, as Llama 2's file and those of its successors have them.
fn sentencepiece_components(prefix: Prefix) -> (Value, Value, Value) {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let back = json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "});
    let mut decoders = vec![back, json!({"type": "ByteFallback"}), json!({"type": "Fuse"})];
    if prefix != Prefix::Never {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let sequence = |normalizers: Vec<Value>| json!({"type": "Sequence", "normalizers": normalizers});
    let (normalizer, pre_tokenizer) = match prefix {
        Prefix::Never => (sequence(vec![replace]), Value::Null),
        Prefix::Always => (sequence(vec![json!({"type": "Prepend", "prepend": SPACE}), replace]), Value::Null),
        Prefix::First | Prefix::Each => {
            let scheme = if prefix == Prefix::First { "first" } else { "always" };
            let metaspace =
                json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": scheme, "split": false});
            (Value::Null, metaspace)
        }
    };
    (normalizer, pre_tokenizer, json!({"type": "Sequence", "decoders": decoders}))
}

fn template_of(tokenizer: &Tokenizer) -> Value {
    let Some((id, bos)) = tokenizer.bos.and_then(|id| Some((id, &tokenizer.added.get(&id)?.text))) else {
        return Value::Null;
    };
    let token = |type_id: u32| json!({"SpecialToken": {"id": bos, "type_id": type_id}});
    let text = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    json!({
        "type": "TemplateProcessing",
        "single": [token(0), text("A", 0)], "pair": [token(0), text("A", 0), token(1), text("B", 1)],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    })
}
