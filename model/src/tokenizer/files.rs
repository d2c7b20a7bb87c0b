//! Finding and reading the files of a tokenizer, and writing them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::error::{Fault, TokenizerError, malformed};
use super::{Added, Tokenizer, json, sentencepiece};

/// The largest file that is read: the largest tokenizers of 2026 have some 35 MB.
const MAX_BYTES: u64 = 256 << 20;

/// What the files beside a vocabulary say about the tokens that start and end a text.
#[derive(Default)]
pub struct Ends {
    eos: Option<End>,
    bos: Option<End>,
}

enum End {
    Text(String),
    Id(u64),
}

/// Names of the end of a text, where nothing says which token it is.
const USUAL_ENDS: [&str; 6] = ["<|endoftext|>", "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "<|eot_id|>"];

impl Ends {
    /// From `tokenizer_config.json`, else from `generation_config.json` or `config.json`.
    fn beside(dir: &Path) -> Result<Ends, TokenizerError> {
        let read = |name: &str| -> Result<Value, TokenizerError> {
            let path = dir.join(name);
            if !path.exists() {
                return Ok(Value::Null);
            }
            let text = read_text(&path)?;
            serde_json::from_str(&text).map_err(|error| TokenizerError::Malformed { path, reason: error.to_string() })
        };
        let config = read("tokenizer_config.json")?;
        let named = |key: &str| {
            let text = config[key].as_str().or(config[key]["content"].as_str());
            text.map(|text| End::Text(text.to_string()))
        };
        let numbered = |file: &Value| {
            let value = &file["eos_token_id"];
            value.as_u64().or(value[0].as_u64()).map(End::Id)
        };
        let eos = match named("eos_token") {
            None => numbered(&read("generation_config.json")?).or(numbered(&read("config.json")?)),
            named => named,
        };
        Ok(Ends { eos, bos: named("bos_token").filter(|_| config["add_bos_token"] == true) })
    }

    /// Ids, where a file has them beside its vocabulary.
    pub(super) fn numbered(eos: Option<u64>, bos: Option<u64>) -> Ends {
        Ends { eos: eos.map(End::Id), bos: bos.map(End::Id) }
    }

    /// The ids of the end and, if there is one, of the start.
    pub(super) fn resolve(&self, added: &BTreeMap<u32, Added>, size: usize) -> Result<(u32, Option<u32>), Fault> {
        let by_text = |text: &str| added.iter().find(|(_, token)| token.text == text).map(|(&id, _)| id);
        let find = |end: &End| match end {
            End::Text(text) => by_text(text),
            End::Id(id) => u32::try_from(*id).ok().filter(|&id| (id as usize) < size),
        };
        let usual = || USUAL_ENDS.into_iter().find_map(by_text);
        match self.eos.as_ref().and_then(find).or_else(usual) {
            Some(eos) => Ok((eos, self.bos.as_ref().and_then(find))),
            None => malformed(format!(
                "no token ends a text: expected \"eos_token\" in tokenizer_config.json, or one of {} among added_tokens",
                USUAL_ENDS.join(" ")
            )),
        }
    }
}

impl Tokenizer {
    /// The file of a model directory that holds its tokenizer, if there is one.
    pub fn find(dir: &Path) -> Option<PathBuf> {
        let named = ["tokenizer.json", "vocab.json", "encoder.json", "tokenizer.bin"].map(|name| dir.join(name));
        // llama2.c names a vocabulary of its own by its size, tok512.bin
        let sized = || {
            let is_sized = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let size = name.strip_prefix("tok").and_then(|rest| rest.strip_suffix(".bin"));
                size.is_some_and(|size| size.parse::<u32>().is_ok())
            };
            fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).filter(is_sized).min()
        };
        named.into_iter().find(|path| path.exists()).or_else(sized)
    }

    /// The tokenizer of a model, a directory or a GGUF file; `None` where it has none.
    pub fn of_model(path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
        match crate::gguf::is_gguf(path) {
            false => Tokenizer::find(path).map(|file| Tokenizer::from_file(&file)).transpose(),
            true => gguf_vocabulary(path),
        }
    }

    /// From `tokenizer.json`; from GPT-2's `encoder.json` or `vocab.json`, with `vocab.bpe` or `merges.txt`
    /// beside it; from llama2.c's `.bin`; or from a model's `.gguf`.
    pub fn from_file(path: &Path) -> Result<Tokenizer, TokenizerError> {
        if path.extension().is_some_and(|end| end == "gguf") {
            return gguf_vocabulary(path)?.ok_or_else(|| TokenizerError::Missing { dir: path.to_path_buf() });
        }
        let dir = path.parent().unwrap_or(Path::new("."));
        let ends = Ends::beside(dir)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".bin") {
            return sentencepiece::parse_llama2c(&read(path)?, &ends).map_err(|fault| fault.at(path));
        }
        let merges = match &*name {
            "encoder.json" => Some(dir.join("vocab.bpe")),
            "vocab.json" => Some(dir.join("merges.txt")),
            _ => None,
        };
        let text = read_text(path)?;
        let parsed = match merges {
            Some(merges) => json::parse_gpt2(&text, &read_text(&merges)?, &ends),
            None => json::parse(&text, &ends),
        };
        parsed.map_err(|fault| fault.at(path))
    }

    /// The text of a `tokenizer.json`, without a file.
    pub fn from_json(text: &str) -> Result<Tokenizer, TokenizerError> {
        json::parse(text, &Ends::default()).map_err(|fault| fault.at(Path::new("tokenizer.json")))
    }

    /// The text of its `tokenizer.json`.
    pub fn to_json(&self) -> String {
        json::write(self)
    }

    /// Writes a `tokenizer.json`.
    pub fn to_file(&self, path: &Path) -> Result<(), TokenizerError> {
        let written = fs::write(path, self.to_json());
        written.map_err(|source| TokenizerError::Io { action: "write", path: path.to_path_buf(), source })
    }

    /// Writes `tokenizer.json`, and `tokenizer_config.json` that names the end token, into a model directory.
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        self.to_file(&dir.join("tokenizer.json"))?;
        let name = |id: u32| self.added.get(&id).map(|token| token.text.clone());
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": name(self.eos()),
            "pad_token": name(self.eos()),
            "bos_token": self.bos().and_then(name),
            "add_bos_token": self.bos().is_some(),
            "clean_up_tokenization_spaces": false,
        });
        let path = dir.join("tokenizer_config.json");
        fs::write(&path, format!("{config:#}\n")).map_err(|source| TokenizerError::Io { action: "write", path, source })
    }
}

fn gguf_vocabulary(path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
    let malformed = |reason: String| TokenizerError::Malformed { path: path.to_path_buf(), reason };
    let metadata = crate::gguf::metadata(path).map_err(|error| malformed(error.to_string()))?;
    Tokenizer::from_gguf(&metadata, path)
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Io { action: "read", path: path.to_path_buf(), source };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > MAX_BYTES {
        let reason = format!("it has {size} bytes, more than the {MAX_BYTES} that are read");
        return Err(TokenizerError::Malformed { path: path.to_path_buf(), reason });
    }
    fs::read(path).map_err(failed)
}

fn read_text(path: &Path) -> Result<String, TokenizerError> {
    String::from_utf8(read(path)?).map_err(|error| {
        let reason = format!("byte {} is not UTF-8", error.utf8_error().valid_up_to());
        TokenizerError::Malformed { path: path.to_path_buf(), reason }
    })
}
