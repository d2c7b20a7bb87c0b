//! Finding and reading the files of a tokenizer, and writing them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::Beside;
use super::error::TokenizerError;
use super::{Place, Tokenizer, json, sentencepiece, write};

/// The largest file that is read: the largest tokenizers of 2026 have some 35 MB.
const MAX_BYTES: u64 = 256 << 20;

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
    ///
    /// # Errors
    /// As [`Tokenizer::from_file`].
    pub fn of_model(path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
        match crate::files::gguf::is_gguf(path) {
            false => Tokenizer::find(path).map(|file| Tokenizer::from_file(&file)).transpose(),
            true => gguf_vocabulary(path),
        }
    }

    /// From `tokenizer.json`; from GPT-2's `encoder.json` or `vocab.json`, with `vocab.bpe` or `merges.txt`
    /// beside it; from llama2.c's `.bin`; or from a model's `.gguf`.
    ///
    /// # Errors
    /// A file that is not there, is damaged, or asks for what nobody here computes.
    pub fn from_file(path: &Path) -> Result<Tokenizer, TokenizerError> {
        if path.extension().is_some_and(|end| end == "gguf") {
            return gguf_vocabulary(path)?.ok_or_else(|| TokenizerError::Missing { dir: path.to_path_buf() });
        }
        let dir = path.parent().unwrap_or(Path::new("."));
        let beside = Beside::of(dir)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".bin") {
            return sentencepiece::parse_llama2c(&read(path)?, &beside)
                .map(|read| read.beside(beside))
                .map_err(|fault| fault.at(path));
        }
        let merges = match &*name {
            "encoder.json" => Some(dir.join("vocab.bpe")),
            "vocab.json" => Some(dir.join("merges.txt")),
            _ => None,
        };
        let text = read_text(path)?;
        let parsed = match merges {
            Some(merges) => json::parse_slow(&text, &read_text(&merges)?, &beside),
            None => json::parse(&text, &beside),
        };
        parsed.map(|read| read.beside(beside)).map_err(|fault| fault.at(path))
    }

    /// From the text of a `tokenizer.json`, without a file.
    ///
    /// # Errors
    /// As [`Tokenizer::from_file`].
    pub fn from_json(text: &str) -> Result<Tokenizer, TokenizerError> {
        json::parse(text, &Beside::default()).map_err(|fault| fault.at(Path::new("tokenizer.json")))
    }

    /// The text of its `tokenizer.json`: the one that was read, where it was.
    pub fn to_json(&self) -> String {
        self.text.as_deref().map_or_else(|| write::json(self), String::from)
    }

    /// Do both make the same of every text? Files may say it in several ways.
    pub fn same_as(&self, other: &Tokenizer) -> bool {
        let says = |tokenizer: &Tokenizer| match &tokenizer.foreign {
            Some(_) => tokenizer.to_json(),
            None => write::json(tokenizer),
        };
        (self.eos, self.bos, &self.added) == (other.eos, other.bos, &other.added) && says(self) == says(other)
    }

    /// Writes a `tokenizer.json`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn to_file(&self, path: &Path) -> Result<(), TokenizerError> {
        written(path, fs::write(path, self.to_json()))
    }

    /// Writes `tokenizer.json` and what lay beside it into a model directory.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), TokenizerError> {
        self.to_file(&dir.join("tokenizer.json"))?;
        self.beside.write(dir, self, None)
    }

    /// The same with another padding token than the files say, or none.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn save_padding(&self, dir: &Path, pad: Option<u32>) -> Result<(), TokenizerError> {
        self.to_file(&dir.join("tokenizer.json"))?;
        self.beside.write(dir, self, Some(pad))
    }

    /// Does what is saved with it have chat templates by name? A file of one would hide them.
    pub fn has_named_templates(&self) -> bool {
        self.beside.has_named_templates()
    }

    /// The token that the files name for filling batches.
    pub fn pad(&self) -> Option<u32> {
        self.role("pad_token")
    }

    /// The names of tokens by what they are for (`bos_token`, …), as the files of a model directory have them.
    pub(crate) fn roles_beside(dir: &Path) -> Result<BTreeMap<String, String>, TokenizerError> {
        Ok(Beside::of(dir)?.tokens())
    }

    /// The token that the files beside it name for this.
    pub(super) fn role(&self, role: &str) -> Option<u32> {
        let name = self.beside.token(role)?;
        let found = || self.encode_parts(&[name], "", Place::Inside, |_| true).concat();
        self.added_token(name).or_else(|| match found()[..] {
            [id] => Some(id),
            _ => None,
        })
    }

    /// From now on it lies beside such files.
    pub(super) fn beside(mut self, beside: Beside) -> Tokenizer {
        self.beside = Arc::new(beside);
        self
    }
}

fn gguf_vocabulary(path: &Path) -> Result<Option<Tokenizer>, TokenizerError> {
    let malformed = |reason: String| TokenizerError::Malformed { path: path.to_path_buf(), reason };
    let metadata = crate::files::gguf::metadata(path).map_err(|error| malformed(error.to_string()))?;
    Tokenizer::from_gguf(&metadata, path)
}

fn read(path: &Path) -> Result<Vec<u8>, TokenizerError> {
    let failed = |source| TokenizerError::Io { action: "read", path: path.to_path_buf(), source };
    let data = fs::metadata(path).map_err(failed)?;
    if !data.is_file() {
        let reason = "it is a directory, a pipe or a device, where a file is expected".into();
        return Err(TokenizerError::Malformed { path: path.to_path_buf(), reason });
    }
    let size = data.len();
    if size > MAX_BYTES {
        let reason = format!("it has {size} bytes, more than the {MAX_BYTES} that are read");
        return Err(TokenizerError::Malformed { path: path.to_path_buf(), reason });
    }
    fs::read(path).map_err(failed)
}

pub(super) fn read_text(path: &Path) -> Result<String, TokenizerError> {
    String::from_utf8(read(path)?).map_err(|error| {
        let reason = format!("byte {} is not UTF-8", error.utf8_error().valid_up_to());
        TokenizerError::Malformed { path: path.to_path_buf(), reason }
    })
}

/// What became of writing to `path`.
pub(super) fn written(path: &Path, result: std::io::Result<()>) -> Result<(), TokenizerError> {
    result.map_err(|source| TokenizerError::Io { action: "write", path: path.to_path_buf(), source })
}
