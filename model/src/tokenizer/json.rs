//! `tokenizer.json` as the Hugging Face `tokenizers` library writes it: a BPE model with either
//! a byte-level pre-tokenizer or sentencepiece's byte fallback; what asks for more is left to [`super::foreign`].
//! Merges are read in both spellings, `"a b"` and `["a", "b"]`.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::beside::Beside;
use super::error::{Fault, malformed, unsupported};
use super::hash::FastMap;
use super::sentencepiece::{self, SPACE};
use super::{Added, Prefix, Split, Tokenizer, Units, Unknown, alphabet, around, bpe, foreign, single_bytes, write};

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
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
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

pub fn parse(text: &str, beside: &Beside) -> Result<Tokenizer, Fault> {
    let mut file: Value = serde_json::from_str(text).map_err(|error| Fault::Malformed(error.to_string()))?;
    // GPT-2's class takes this from its own settings
    let class = beside.config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    if let (true, Some(prefixed)) = (class.starts_with("GPT2Tokenizer"), beside.config.get("add_prefix_space"))
        && file["pre_tokenizer"]["type"] == "ByteLevel"
    {
        file["pre_tokenizer"]["add_prefix_space"] = prefixed.clone();
    }
    let read = match parse_own(&file, beside) {
        Err(Fault::Unsupported { part, name }) => foreign::parse(file, beside).map_err(|fault| match fault {
            Fault::Malformed(reason) => Fault::Malformed(reason),
            Fault::Unsupported { part: "post-processor", name } => Fault::Unsupported { part: "post-processor", name },
            Fault::Unsupported { .. } => Fault::Unsupported { part, name },
        }),
        read => read,
    };
    let text = Some(text.into());
    Ok(Tokenizer { text, ..read? })
}

/// Only what our own BPE does faithfully.
pub fn parse_own(file: &Value, beside: &Beside) -> Result<Tokenizer, Fault> {
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
    let around = around::read(&file.post_processor)?;
    let vocab = vocab_of(&file.model.vocab)?;
    let merges = file.model.merges.iter().enumerate().map(|(at, merge)| match merge {
        MergeText::Pair(left, right) => Ok((left.as_str(), right.as_str())),
        MergeText::Joined(both) => split_merge(both, at),
    });
    let merges = merges.collect::<Result<Vec<_>, _>>()?;
    let unk = model.unk_token.as_ref().and_then(|text| vocab.get(text).copied());
    let mut tokenizer = build(vocab, &merges, added_of(file.added_tokens), kind, beside)?;
    tokenizer.starts_and_closes(around)?;
    tokenizer.unk = unk.map(|id| Unknown { id, fuse: model.fuse_unk });
    if model.ignore_merges {
        tokenizer.keep_whole_words();
    }
    Ok(tokenizer)
}

pub fn added_of(tokens: Vec<AddedToken>) -> BTreeMap<u32, Added> {
    let mut added = BTreeMap::new();
    for token in tokens {
        let AddedToken { id, content, single_word, lstrip, rstrip, special } = token;
        added.insert(id, Added { text: content, special, strip: (lstrip, rstrip), single_word });
    }
    added
}

/// A vocabulary and its merges in two files, which do not say how text is cut: that the class of the tokenizer knows, by
/// its name in tokenizer_config.json or the model's kind. Tokens that are neither bytes nor made by a merge are control
/// tokens.
pub fn parse_slow(vocab: &str, merges: &str, beside: &Beside) -> Result<Tokenizer, Fault> {
    let class =
        beside.config.get("tokenizer_class").and_then(Value::as_str).map(|class| class.trim_end_matches("Fast"));
    let (split, composes) = match (class, beside.model_type.as_deref()) {
        (Some("Qwen2Tokenizer"), _) | (None, Some("qwen2" | "qwen3")) => (Split::Gpt4 { digits: 1 }, true),
        (Some("GPTNeoXTokenizer"), _) | (None, Some("gpt_neox")) => (Split::Gpt2 { digits: false }, true),
        (Some("GPT2Tokenizer" | "CodeGenTokenizer"), _) | (None, _) => (Split::Gpt2 { digits: false }, false),
        (Some(other), _) => {
            return malformed(format!(
                "vocab.json and merges.txt do not say how text is cut, and tokenizer_class is `{other}`; save it as \
                 tokenizer.json with transformers (AutoTokenizer.from_pretrained(…).save_pretrained(…))"
            ));
        }
    };
    let vocab: Value = serde_json::from_str(vocab).map_err(|error| Fault::Malformed(error.to_string()))?;
    let vocab = vocab_of(&vocab)?;
    let lines = merges.lines().filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges = lines.enumerate().map(|(at, line)| split_merge(line, at)).collect::<Result<Vec<_>, _>>()?;
    let made: HashSet<String> = merges.iter().map(|(left, right)| format!("{left}{right}")).collect();
    let is_byte = |text: &str| text.chars().nth(1).is_none() && alphabet::read(text).is_ok();
    let others = vocab.iter().filter(|(text, _)| !is_byte(text) && !made.contains(text.as_str()));
    let added = others.map(|(text, &id)| (id, Added::new(text, true))).collect();
    let read = build(vocab, &merges, added, Kind::Bytes(split), beside)?;
    let prefixed = beside.config.get("add_prefix_space") == Some(&Value::Bool(true));
    if !composes && !prefixed {
        return Ok(read);
    }
    let mut file: Value = serde_json::from_str(&write::json(&read)).expect("we have written it");
    if composes {
        file["normalizer"] = json!({"type": "NFC"});
    }
    if prefixed {
        foreign::set_prefix(&mut file);
    }
    let text = Some(file.to_string().into());
    Ok(Tokenizer { text, ..foreign::parse(file, beside)? })
}

pub fn vocab_of(value: &Value) -> Result<BTreeMap<String, u32>, Fault> {
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
    mut added: BTreeMap<u32, Added>,
    kind: Kind,
    beside: &Beside,
) -> Result<Tokenizer, Fault> {
    beside.declare(&vocab, merges.iter().copied(), &mut added)?;
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
        if added.get(&id).is_some_and(|token| token.special) {
            continue; // text never becomes a control token
        }
        table.insert(find(left)?, find(right)?, bpe::Merge { rank: rank as u32, id });
    }
    let (units, split) = match kind {
        Kind::Bytes(split) => (Units::Bytes(single_bytes(&pieces, &added)), split),
        Kind::Sentencepiece(_) => {
            let bytes = std::array::from_fn(|byte| id_of.get(format!("<0x{byte:02X}>").as_str()).copied());
            (sentencepiece::units(&pieces, &added, bytes), Split::Whole)
        }
    };
    let (eos, bos) = beside.ends(&vocab, &added, pieces.len())?;
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

pub fn type_of(component: &Value) -> String {
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
pub const GPT4: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

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
