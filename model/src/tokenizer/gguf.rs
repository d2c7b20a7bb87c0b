//! A tokenizer as GGUF's metadata has it (`tokenizer.ggml.…`), in and out: byte-level BPE by its merges, with
//! the name of its split, and sentencepiece by its scores.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::beside::Beside;
use super::error::{Fault, TokenizerError, malformed, unsupported};

use super::json::{self, Kind};
use super::{Added, Prefix, Split, Tokenizer, Units, Unknown, foreign, sentencepiece, write};
use crate::files::gguf::{Metadata, Value};

/// llama.cpp's names of the splits that we have: the name, the split, whether a word that is a piece is not put
/// together by merges, and whether Hugging Face's files bring text into Unicode's form C first (llama.cpp does not, but
/// so the models were trained). The first of each kind is the one that is written.
const SPLITS: [(&str, Split, bool, bool); 14] = [
    ("gpt-2", Split::Gpt2 { digits: false }, false, false),
    ("olmo", Split::Gpt2 { digits: false }, false, true),
    ("mpt", Split::Gpt2 { digits: false }, false, true),
    ("phi-2", Split::Gpt2 { digits: false }, false, false),
    ("smollm", Split::Gpt2 { digits: true }, false, false),
    ("starcoder", Split::Gpt2 { digits: true }, false, false),
    ("refact", Split::Gpt2 { digits: true }, false, false),
    ("llama-bpe", Split::Gpt4 { digits: 3 }, true, false),
    ("llama3", Split::Gpt4 { digits: 3 }, true, false),
    ("llama-v3", Split::Gpt4 { digits: 3 }, true, false),
    ("dbrx", Split::Gpt4 { digits: 3 }, false, false),
    ("smaug-bpe", Split::Gpt4 { digits: 3 }, false, false),
    ("qwen2", Split::Gpt4 { digits: 1 }, false, true),
    ("deepseek-r1-qwen", Split::Gpt4 { digits: 1 }, false, true),
];

/// How llama.cpp cuts text where a file does not say how, or `default`: by one expression after the other.
const DEFAULT: [&str; 4] = [
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
];

/// What `tokenizers` calls Unicode's form C.
const NFC: &str = "NFC";

/// What tokenizer_config.json calls a token by what it is for, and GGUF.
pub(crate) const ROLES: [(&str, &str); 7] = [
    ("eos_token", "eos"),
    ("bos_token", "bos"),
    ("unk_token", "unknown"),
    ("pad_token", "padding"),
    ("sep_token", "seperator"), // as llama.cpp spells it
    ("cls_token", "cls"),
    ("mask_token", "mask"),
];

/// What GGUF has no keys for, as the files of a directory say it; of no meaning to other programs.
const CONFIG_KEY: &str = "rlhf.tokenizer_config";

const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNUSED: i64 = 5;
const BYTE: i64 = 6;

fn parse(metadata: &Metadata) -> Result<Option<Tokenizer>, Fault> {
    let keys = Keys(metadata);
    let model = match keys.text("model")? {
        None | Some("none" | "no_vocab") => return Ok(None),
        Some(model @ ("gpt2" | "llama")) => model,
        Some(other) => return unsupported("tokenizer.ggml.model", other),
    };
    let tokens = keys.texts("tokens")?;
    let kinds = keys.kinds(tokens.len())?;
    let starts = keys.flag("add_bos_token", model == "llama")?;
    let bos = if starts { keys.id("bos_token_id")? } else { None };
    // sentencepiece's words are written otherwise than they are read
    let is_name = |id: usize| model == "gpt2" || matches!(kinds[id], UNKNOWN | CONTROL | USER_DEFINED);
    let beside = Beside::numbered(keys.config(tokens, starts, is_name)?, keys.id("eos_token_id")?, bos);
    let mut added = BTreeMap::new();
    for (id, (text, &kind)) in tokens.iter().zip(kinds.iter()).enumerate() {
        if let UNKNOWN | CONTROL | USER_DEFINED = kind {
            added.insert(id as u32, Added::new(text, kind != USER_DEFINED));
        }
    }
    let mut tokenizer = match model {
        "gpt2" => byte_level(&keys, tokens, &kinds, added, &beside)?,
        _ => by_score(&keys, tokens, &kinds, added, &beside)?,
    };
    tokenizer.closes = keys.flag("add_eos_token", false)?;
    Ok(Some(tokenizer.beside(beside)))
}

fn byte_level(
    keys: &Keys,
    tokens: &[String],
    kinds: &[i64],
    added: BTreeMap<u32, Added>,
    beside: &Beside,
) -> Result<Tokenizer, Fault> {
    let pre = keys.text("pre")?.filter(|pre| *pre != "default");
    let row = SPLITS.iter().find(|row| pre.is_none_or(|pre| row.0 == pre));
    let Some(&(_, split, whole_words, composes)) = row else {
        return unsupported("tokenizer.ggml.pre", pre.unwrap_or_default());
    };
    let mut vocab = BTreeMap::new();
    for (id, text) in tokens.iter().enumerate().filter(|&(id, _)| kinds[id] == NORMAL) {
        if let Some(other) = vocab.insert(text.clone(), id as u32) {
            return malformed(format!("{text:?} is token {other} and token {id}"));
        }
    }
    let merges = keys.texts("merges")?.iter().enumerate().map(|(at, text)| json::split_merge(text, at));
    let merges = merges.collect::<Result<Vec<_>, _>>()?;
    let mut tokenizer = json::build(vocab, &merges, added, Kind::Bytes(split), beside)?;
    if whole_words {
        tokenizer.keep_whole_words();
    }
    if !composes && pre.is_some() {
        return Ok(tokenizer);
    }
    let mut file: Json = serde_json::from_str(&write::json(&tokenizer)).expect("we have written it");
    match pre {
        Some(_) => file["normalizer"] = json!({"type": NFC}),
        None => {
            let cut =
                |by: &str| json!({"type": "Split", "pattern": {"Regex": by}, "behavior": "Isolated", "invert": false});
            let bytes =
                json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
            let steps: Vec<Json> = DEFAULT.iter().map(|by| cut(by)).chain([bytes]).collect();
            file["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": steps});
        }
    }
    let text = Some(file.to_string().into());
    Ok(Tokenizer { text, ..foreign::parse(file, beside)? })
}

fn by_score(
    keys: &Keys,
    tokens: &[String],
    kinds: &[i64],
    added: BTreeMap<u32, Added>,
    beside: &Beside,
) -> Result<Tokenizer, Fault> {
    let Some(Value::Floats(scores)) = keys.get("scores") else {
        return malformed("no `tokenizer.ggml.scores`, which sentencepiece merges by");
    };
    if scores.len() != tokens.len() {
        return malformed(format!("{} tokens have {} scores", tokens.len(), scores.len()));
    }
    let mut bytes = [None; 256];
    let mut pieces = Vec::with_capacity(tokens.len());
    for (id, (text, &kind)) in tokens.iter().zip(kinds).enumerate() {
        pieces.push(match kind {
            UNUSED => None,
            NORMAL => Some(sentencepiece::piece(text).into_boxed_slice()),
            BYTE => match sentencepiece::byte_piece(text) {
                None => return malformed(format!("token {id} is the byte {text:?}, expected the like of <0x0A>")),
                Some(byte) => {
                    bytes[byte as usize] = Some(id as u32);
                    Some([byte].into())
                }
            },
            _ => Some(text.as_bytes().into()),
        });
    }
    if let Some((id, _)) = added.iter().find(|(_, token)| token.text.is_empty()) {
        return malformed(format!("added token {id} is empty"));
    }
    let mut tokenizer = sentencepiece::by_score(pieces, scores, added, bytes, beside)?;
    tokenizer.unk = kinds.iter().position(|&kind| kind == UNKNOWN).map(|id| Unknown { id: id as u32, fuse: true });
    tokenizer.prefix = if keys.flag("add_space_prefix", true)? { Prefix::Always } else { Prefix::Never };
    Ok(tokenizer)
}

/// The keys below `tokenizer.ggml.`, read with errors that name them.
struct Keys<'a>(&'a Metadata);

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(&format!("tokenizer.ggml.{key}"))
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => malformed(format!("`tokenizer.ggml.{key}`: expected a text")),
        }
    }

    fn texts(&self, key: &str) -> Result<&'a [String], Fault> {
        match self.get(key) {
            Some(Value::Texts(texts)) => Ok(texts),
            _ => malformed(format!("`tokenizer.ggml.{key}`: expected a list of texts")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, Fault> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Flag(flag)) => Ok(*flag),
            Some(_) => malformed(format!("`tokenizer.ggml.{key}`: expected true or false")),
        }
    }

    fn id(&self, key: &str) -> Result<Option<u64>, Fault> {
        match self.get(key) {
            None => Ok(None),
            Some(&Value::Integer(id)) if id >= 0 => Ok(Some(id as u64)),
            Some(_) => malformed(format!("`tokenizer.ggml.{key}`: expected a token id")),
        }
    }

    /// tokenizer_config.json: as it went along, or with what the keys say.
    fn config(
        &self,
        tokens: &[String],
        starts: bool,
        is_name: impl Fn(usize) -> bool,
    ) -> Result<Map<String, Json>, Fault> {
        match self.0.get(CONFIG_KEY) {
            None => {}
            Some(Value::Text(text)) => {
                return serde_json::from_str(text)
                    .map_err(|error| Fault::Malformed(format!("`{CONFIG_KEY}`: {error}")));
            }
            Some(_) => return malformed(format!("`{CONFIG_KEY}`: expected a text")),
        }
        let mut config = Map::new();
        for (role, key) in ROLES {
            let Some(&Value::Integer(id)) = self.get(&format!("{key}_token_id")) else { continue };
            let id = usize::try_from(id).ok();
            if let Some(id) = id.filter(|&id| id < tokens.len() && is_name(id)) {
                config.insert(role.into(), tokens[id].clone().into());
            }
        }
        config.insert("add_bos_token".into(), starts.into());
        config.insert("clean_up_tokenization_spaces".into(), false.into());
        Ok(config)
    }

    /// What kind each token is; normal, where nothing is said.
    fn kinds(&self, tokens: usize) -> Result<Vec<i64>, Fault> {
        match self.get("token_type") {
            None => Ok(vec![NORMAL; tokens]),
            Some(Value::Integers(kinds)) if kinds.len() == tokens => match kinds.iter().find(|k| !(1..=6).contains(*k))
            {
                Some(kind) => malformed(format!("a token of unknown type {kind}")),
                None => Ok(kinds.clone()),
            },
            Some(_) => malformed(format!("`tokenizer.ggml.token_type`: expected a list of {tokens} numbers")),
        }
    }
}

impl Tokenizer {
    /// The tokenizer of the file at `path`; `None` where it has none.
    pub(crate) fn from_gguf(metadata: &Metadata, path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
        parse(metadata).map_err(|fault| fault.at(path))
    }

    /// As metadata of a GGUF file whose embedding has so many rows. Rows without a token get one that is unused.
    /// An error names `path`, where it came from.
    pub(crate) fn to_gguf(&self, rows: usize, path: &Path) -> Result<Vec<(String, Value)>, TokenizerError> {
        let written = match &self.foreign {
            None => self.write_gguf(rows, false),
            Some(_) => self.without_nfc().and_then(|own| own.write_gguf(rows, true)),
        };
        written.map_err(|fault| fault.at(path))
    }

    /// The tokens by what they are for, by GGUF's names; but the end of a text, of which a model may have several.
    pub(crate) fn roles(&self) -> Vec<(&'static str, u32)> {
        let id = |role: &str| match role {
            "bos_token" => self.bos.or_else(|| self.role(role)),
            "unk_token" => self.unk.map(|unk| unk.id).or_else(|| self.role(role)),
            _ => self.role(role),
        };
        ROLES[1..].iter().filter_map(|&(role, key)| Some((key, id(role)?))).collect()
    }

    /// Of a tokenizer that is foreign to us for Unicode's form C alone, the rest.
    fn without_nfc(&self) -> Result<Tokenizer, Fault> {
        let mut file: Json = serde_json::from_str(&self.to_json()).expect("it has been read");
        if file["normalizer"]["type"] == NFC {
            file["normalizer"] = Json::Null;
        }
        let own = json::parse_own(&file, &self.beside)?;
        Ok(Tokenizer { bos: self.bos, eos: self.eos, closes: self.closes, beside: self.beside.clone(), ..own })
    }

    /// What GGUF cannot say, and reads differently without it.
    fn refuse_unsayable(&self) -> Result<(), Fault> {
        if let Some(token) = self.added.values().find(|token| token.strip != (false, false) || token.single_word) {
            return unsupported(
                "option of an added token in GGUF",
                format!("lstrip, rstrip or single_word of {}", token.text),
            );
        }
        if let (Units::Bytes(bytes), Some(_)) = (&self.units, self.unk)
            && bytes.contains(&None)
        {
            return unsupported("option in GGUF", "unk_token of a byte-level vocabulary without all bytes");
        }
        Ok(())
    }

    /// Where a sentencepiece vocabulary puts spaces before text, GGUF says as one flag, be it first or after each token.
    fn write_gguf(&self, rows: usize, composes: bool) -> Result<Vec<(String, Value)>, Fault> {
        self.refuse_unsayable()?;
        let byte_level = matches!(self.units, Units::Bytes(_));
        let (mut tokens, mut kinds) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for id in 0..rows as u32 {
            let hole = self.pieces.get(id as usize).is_none_or(Option::is_none);
            tokens.push(if hole { format!("[PAD{id}]") } else { write::text_of(self, id) });
            kinds.push(match (&self.units, self.added.get(&id)) {
                _ if hole => UNUSED,
                (Units::Chars { .. }, Some(token))
                    if token.text == "<unk>" || self.unk.is_some_and(|unk| unk.id == id) =>
                {
                    UNKNOWN
                }
                (_, Some(token)) => {
                    if token.special {
                        CONTROL
                    } else {
                        USER_DEFINED
                    }
                }
                (Units::Chars { bytes, .. }, None) if bytes.contains(&Some(id)) => BYTE,
                _ => NORMAL,
            });
        }
        let mut said = vec![("model", Value::Text(if byte_level { "gpt2" } else { "llama" }.into()))];
        match byte_level {
            true => {
                let whole_words = self.whole_words.is_some();
                let row = SPLITS.iter().find(|row| (row.1, row.2, row.3) == (self.split, whole_words, composes));
                let Some((pre, ..)) = row else { return unsupported("split in GGUF", format!("{:?}", self.split)) };
                let merges = self.merges.in_order().into_iter();
                let text = |(left, right)| format!("{} {}", write::text_of(self, left), write::text_of(self, right));
                said.push(("pre", Value::Text(pre.to_string())));
                said.push(("merges", Value::Texts(merges.map(text).collect())));
            }
            false => {
                said.push(("pre", Value::Text("default".into())));
                said.push(("scores", Value::Floats(self.scores(tokens.len()))));
                said.push(("add_space_prefix", Value::Flag(self.prefix != Prefix::Never)));
            }
        }
        said.push(("tokens", Value::Texts(tokens)));
        said.push(("token_type", Value::Integers(kinds)));
        said.push(("add_bos_token", Value::Flag(self.bos.is_some())));
        if self.closes {
            said.push(("add_eos_token", Value::Flag(true)));
        }
        let said = said.into_iter().map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
        Ok(said.chain(self.beside.text().map(|text| (CONFIG_KEY.to_string(), Value::Text(text)))).collect())
    }

    /// A score for each token under which sentencepiece merges in the order of our merges.
    fn scores(&self, tokens: usize) -> Vec<f32> {
        let merges = self.merges.in_order();
        let mut scores = vec![-(merges.len() as f32); tokens];
        for (rank, (left, right)) in merges.iter().enumerate().rev() {
            let merge = self.merges.get(*left, *right).expect("it is one of them");
            scores[merge.id as usize] = -(rank as f32);
        }
        scores
    }
}
