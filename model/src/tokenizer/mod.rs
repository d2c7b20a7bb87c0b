//! Text to token ids and back: byte-pair encoding, trained here or read from the files of others.
//!
//! Bytes are the alphabet, so any text has an encoding and comes back from it unchanged. Text never
//! becomes a special token (an end of text, say) by containing its name: [`Tokenizer::encode`] treats
//! `<|endoftext|>` as thirteen characters, [`Tokenizer::encode_with_special`] is for templates.
//!
//! What is trained here is written and read by code of our own, and so are the files of others that ask for no
//! more (GPT-2, Llama, SmolLM). The rest (Unicode normalisation as in Qwen and Pythia, other splits, unigram models)
//! goes through Hugging Face's `tokenizers` crate, behind the same type.

mod added;
mod alphabet;
mod around;
mod beside;
mod bpe;
mod error;
mod files;
mod foreign;
mod gguf;
mod hash;
mod json;
mod letters;
mod sentencepiece;
mod split;
mod stream;
mod train;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use added::{Added, Sought};
use beside::Beside;
use bpe::Merges;
use foreign::Foreign;
use hash::FastMap;
use split::words;

pub(crate) use beside::TEMPLATES;
pub use error::TokenizerError;
pub use split::Split;
pub use stream::TextStream;

/// Tokenizer: a vocabulary and the rules to write text in it.
#[derive(Debug)]
pub struct Tokenizer {
    /// What each id stands for; `None` where the file leaves a hole.
    pieces: Vec<Option<Box<[u8]>>>,
    merges: Merges,
    /// How a word starts out.
    units: Units,
    split: Split,
    /// Where a space is put before text (sentencepiece's dummy prefix).
    prefix: Prefix,
    /// Who encodes, where it is not the fields above.
    foreign: Option<Arc<Foreign>>,
    /// A word that is a piece is not put together by merges (Llama 3).
    whole_words: Option<FastMap<Box<[u8]>, u32>>,
    /// Tokens outside the merges, by id.
    added: BTreeMap<u32, Added>,
    eos: u32,
    bos: Option<u32>,
    /// Does its file put the end token after every text? Who encodes here does that where a text is over.
    closes: bool,
    /// What text becomes that has no token.
    unk: Option<Unknown>,
    /// The `tokenizer.json` that it was read from.
    text: Option<Arc<str>>,
    beside: Arc<Beside>,
    cache: Mutex<Cache>,
}

/// The symbols that a word consists of before anything is merged.
#[derive(Clone, Debug)]
enum Units {
    /// One per byte. `None`: the vocabulary has no token for that byte.
    Bytes([Option<u32>; 256]),
    /// One per character that is a piece, else one per byte of it (sentencepiece).
    Chars { chars: FastMap<char, u32>, bytes: [Option<u32>; 256] },
}

/// Which pieces of a text, as control tokens cut it, get a space in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prefix {
    Never,
    /// The start of the text, unless it starts with one (Metaspace, first).
    First,
    /// That, and what follows a control token, unless it starts with one (Metaspace, always).
    Each,
    /// All of them, even those that start with one (Prepend).
    Always,
}

/// Where in a text a piece of it stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Start,
    AfterToken,
    Inside,
}

/// The token of what has none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Unknown {
    id: u32,
    /// One for several characters in a row.
    fuse: bool,
}

/// Words seen before and their ids.
type Cache = FastMap<Box<[u8]>, Box<[u32]>>;

/// Words in the cache: the common ones come first in any text.
const CACHED_WORDS: usize = 1 << 16;
const CACHED_WORD_BYTES: usize = 64;

impl Tokenizer {
    /// Learns a byte-level BPE with GPT-2's split. Ids are laid out as GPT-2's: 256 bytes, the merges, then
    /// `special`, the first of which is the end of text. The vocabulary is smaller than `vocab_size` if the
    /// texts do not have that many pairs which occur twice.
    ///
    /// # Panics
    /// Where `special` is empty, or `vocab_size` is less than 256 and its tokens.
    #[track_caller]
    pub fn train<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, vocab_size: usize, special: &[&str]) -> Tokenizer {
        assert!(!special.is_empty(), "a tokenizer needs an end-of-text token: special is empty");
        let smallest = 256 + special.len();
        assert!(
            vocab_size >= smallest,
            "a vocabulary of {vocab_size} cannot hold 256 bytes and {} special tokens",
            special.len()
        );
        let split = Split::Gpt2 { digits: false };
        let (mut pieces, merges) = train::learn(texts, vocab_size - smallest, split);
        let mut added = BTreeMap::new();
        for text in special {
            added.insert(pieces.len() as u32, Added::new(text, true));
            pieces.push(text.as_bytes().to_vec());
        }
        let eos = *added.keys().next().expect("special is not empty");
        let pieces: Vec<_> = pieces.into_iter().map(|piece| Some(piece.into_boxed_slice())).collect();
        let units = Units::Bytes(single_bytes(&pieces, &added));
        Tokenizer::new(pieces, merges, units, split, added, eos)
    }

    fn new(
        pieces: Vec<Option<Box<[u8]>>>,
        merges: Merges,
        units: Units,
        split: Split,
        added: BTreeMap<u32, Added>,
        eos: u32,
    ) -> Tokenizer {
        Tokenizer {
            pieces,
            merges,
            units,
            split,
            prefix: Prefix::Never,
            foreign: None,
            whole_words: None,
            added,
            eos,
            bos: None,
            closes: false,
            unk: None,
            text: None,
            beside: Arc::default(),
            cache: Mutex::default(),
        }
    }

    /// From now on a word that is a piece is not put together by merges.
    fn keep_whole_words(&mut self) {
        let whole = self.pieces.iter().enumerate().filter_map(|(id, piece)| Some((piece.clone()?, id as u32)));
        self.whole_words = Some(whole.filter(|(_, id)| !self.added.contains_key(id)).collect());
    }

    /// Number of ids, holes included: the rows of the embedding.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// Has a model with so many rows one for every token that a text may become? Control tokens behind them, which nobody
    /// has trained, are left out, and named by what is returned.
    ///
    /// # Errors
    /// It has not, and for which.
    pub fn fits(&self, rows: usize) -> Result<Option<String>, String> {
        if self.vocab_size() <= rows {
            return Ok(None);
        }
        let beyond: Vec<u32> =
            (rows as u32..self.vocab_size() as u32).filter(|&id| self.pieces[id as usize].is_some()).collect();
        let used = |id: &u32| *id == self.eos || Some(*id) == self.bos || !self.is_special(*id);
        if let Some(id) = beyond.iter().find(|id| used(id)) {
            let (size, name) = (self.vocab_size(), String::from_utf8_lossy(self.piece(*id)));
            return Err(format!(
                "its tokenizer has {size} tokens, the model {rows}: token {id} ({name:?}) has no row; they do not \
                 belong together"
            ));
        }
        let names: Vec<String> =
            beyond.iter().take(3).map(|&id| format!("{:?}", String::from_utf8_lossy(self.piece(id)))).collect();
        let more = if beyond.len() > 3 { ", …" } else { "" };
        Ok(Some(format!(
            "control tokens behind the model's {rows} rows are left out: {}{more} from id {rows} on",
            names.join(", ")
        )))
    }

    /// The token that ends a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// The token that starts every text, for the models that were trained with one (Llama, not GPT-2).
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Is `id` a control token?
    pub fn is_special(&self, id: u32) -> bool {
        self.added.get(&id).is_some_and(|token| token.special)
    }

    /// The id of the added token that is written `text`.
    pub fn added_token(&self, text: &str) -> Option<u32> {
        self.added.iter().find(|(_, token)| token.text == text).map(|(&id, _)| id)
    }

    /// The bytes that `id` stands for; none if it is outside the vocabulary.
    pub fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(id as usize).and_then(Option::as_deref).unwrap_or_default()
    }

    /// Is `id` a control token that no text becomes? The token of what is unknown is one that it may.
    pub fn is_control(&self, id: u32) -> bool {
        self.is_special(id) && self.unk.is_none_or(|unk| unk.id != id)
    }

    /// Has the text something that no token stands for, and that is therefore lost?
    pub fn loses(&self, text: &str) -> bool {
        if let Some(unk) = self.unk {
            return self.encode(text).contains(&unk.id);
        }
        let missing = |bytes: &[Option<u32>; 256], text: &str| text.bytes().any(|byte| bytes[byte as usize].is_none());
        match &self.units {
            Units::Bytes(bytes) => missing(bytes, text),
            Units::Chars { .. } if self.foreign.is_some() => false,
            Units::Chars { chars, bytes } => {
                let mut letters = text.chars();
                letters.any(|c| !chars.contains_key(&c) && missing(bytes, c.encode_utf8(&mut [0; 4])))
            }
        }
    }

    /// Names of the control tokens: what text must not turn into.
    pub fn control_names(&self) -> impl Iterator<Item = &str> {
        self.controls().map(|(_, name)| name)
    }

    /// The control tokens and their names.
    pub fn controls(&self) -> impl Iterator<Item = (u32, &str)> {
        self.added.iter().filter(|(_, token)| token.special).map(|(&id, token)| (id, token.text.as_str()))
    }

    /// The ids of a text. Names of special tokens in it are text like any other.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        self.encode_parts(&[text], "", Place::Start, |token| !token.special).concat()
    }

    /// What a model reads of a text from its start: the start token, if there is one, and the ids.
    pub fn encode_start(&self, text: &str) -> Vec<u32> {
        self.bos.into_iter().chain(self.encode(text)).collect()
    }

    /// The ids of a text that goes on from another: as [`Tokenizer::encode`], but without the space that
    /// sentencepiece puts before every text.
    pub fn encode_more(&self, text: &str) -> Vec<u32> {
        self.encode_parts(&[text], "", Place::Inside, |token| !token.special).concat()
    }

    /// The ids of a text in which the names of special tokens mean those tokens. Never for text that a user
    /// or a data set wrote.
    pub fn encode_with_special(&self, text: &str) -> Vec<u32> {
        self.encode_guarded(&[text], "").concat()
    }

    /// The same for the parts of one text, with the ids of each, where a name is broken by `guard` and so is text:
    /// the guard is looked at when special tokens are sought, and gone when what lies between them is encoded.
    pub fn encode_guarded(&self, parts: &[&str], guard: &str) -> Vec<Vec<u32>> {
        self.encode_parts(parts, guard, Place::Start, |_| true)
    }

    /// The ids of bytes that need not be UTF-8, with no space before them.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        let mut ids = vec![];
        let mut cache = self.borrow_cache();
        for chunk in bytes.utf8_chunks() {
            self.encode_words(chunk.valid(), Place::Inside, &mut cache, &mut ids);
            self.encode_word(chunk.invalid(), &mut cache, &mut ids);
        }
        self.return_cache(cache);
        ids
    }

    fn encode_parts(
        &self,
        parts: &[&str],
        guard: &str,
        mut place: Place,
        is_sought: impl Fn(&Added) -> bool,
    ) -> Vec<Vec<u32>> {
        let sought = self.added.iter().filter(|(_, token)| is_sought(token));
        let sought = Sought::new(sought.map(|(&id, token)| (id, token)).collect());
        let unguarded = |text: &'_ str| if guard.is_empty() { text.to_string() } else { text.replace(guard, "") };
        let mut cache = self.borrow_cache();
        let mut strip = false; // the token before takes whitespace along
        let mut encode_part = |part: &&str| {
            let mut ids = Vec::with_capacity(part.len() / 3);
            let mut rest = *part;
            loop {
                rest = if strip { rest.trim_start() } else { rest };
                let found = sought.first_in(rest);
                let before = found.map_or(rest, |(at, _, _)| &rest[..at]);
                let before = if found.is_some_and(|(_, _, token)| token.strip.0) { before.trim_end() } else { before };
                if !before.is_empty() {
                    self.encode_words(&unguarded(before), place, &mut cache, &mut ids);
                    (place, strip) = (Place::Inside, false);
                }
                let Some((at, id, token)) = found else { break };
                ids.push(id);
                (place, strip) = (Place::AfterToken, token.strip.1);
                rest = &rest[at + token.text.len()..];
            }
            ids
        };
        let ids = parts.iter().map(&mut encode_part).collect();
        self.return_cache(cache);
        ids
    }

    /// The ids of text without added tokens.
    fn encode_words(&self, text: &str, place: Place, cache: &mut Cache, ids: &mut Vec<u32>) {
        let prefixed = match self.prefix {
            Prefix::Never => false,
            Prefix::First => place == Place::Start && !text.starts_with(' '),
            Prefix::Each => place != Place::Inside && !text.starts_with(' '),
            Prefix::Always => place != Place::Inside,
        };
        if let Some(foreign) = &self.foreign {
            return ids.extend(foreign.encode(text, prefixed));
        }
        let text = if prefixed { Cow::Owned(format!(" {text}")) } else { Cow::Borrowed(text) };
        for word in words(&text, self.split) {
            self.encode_word(word.as_bytes(), cache, ids);
        }
    }

    fn encode_word(&self, word: &[u8], cache: &mut Cache, ids: &mut Vec<u32>) {
        if let Some(known) = cache.get(word) {
            return ids.extend_from_slice(known);
        }
        let start = ids.len();
        match self.whole_words.as_ref().and_then(|whole| whole.get(word)) {
            Some(&id) => ids.push(id),
            None => {
                let mut symbols = self.symbols(word);
                self.merges.apply(&mut symbols);
                ids.extend(symbols);
            }
        }
        if word.len() <= CACHED_WORD_BYTES && cache.len() < CACHED_WORDS {
            cache.insert(word.into(), ids[start..].into());
        }
    }

    fn symbols(&self, word: &[u8]) -> Vec<u32> {
        let mut symbols = Vec::with_capacity(word.len());
        let mut unknown = false; // is the last symbol what is unknown?
        match &self.units {
            Units::Bytes(bytes) => {
                for &byte in word {
                    self.put(bytes[byte as usize].as_slice(), &mut unknown, &mut symbols);
                }
            }
            Units::Chars { chars, bytes } => {
                let ids = |part: &[u8]| -> Option<Vec<u32>> { part.iter().map(|&byte| bytes[byte as usize]).collect() };
                for chunk in word.utf8_chunks() {
                    for c in chunk.valid().chars() {
                        match chars.get(&c) {
                            Some(id) => self.put(&[*id], &mut unknown, &mut symbols),
                            None => {
                                let ids = ids(c.encode_utf8(&mut [0; 4]).as_bytes());
                                self.put(&ids.unwrap_or_default(), &mut unknown, &mut symbols);
                            }
                        }
                    }
                    for byte in chunk.invalid() {
                        self.put(bytes[*byte as usize].as_slice(), &mut unknown, &mut symbols);
                    }
                }
            }
        }
        symbols
    }

    /// The ids of a character or byte, or what stands for those that have none.
    fn put(&self, ids: &[u32], unknown: &mut bool, symbols: &mut Vec<u32>) {
        if let (true, Some(unk)) = (ids.is_empty(), self.unk)
            && !(*unknown && unk.fuse)
        {
            symbols.push(unk.id);
        }
        symbols.extend(ids);
        *unknown = ids.is_empty();
    }

    /// The text that ids stand for, names of special tokens included. Bytes that are not UTF-8 become U+FFFD;
    /// ids outside the vocabulary become nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.text(self.decode_bytes(ids))
    }

    /// The same without the special tokens: what a reader should see.
    pub fn decode_text(&self, ids: &[u32]) -> String {
        let plain: Vec<u32> = ids.iter().copied().filter(|&id| !self.is_special(id)).collect();
        self.decode(&plain)
    }

    /// The bytes that ids stand for, exactly.
    pub fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().flat_map(|&id| self.piece(id)).copied().collect()
    }

    fn text(&self, mut bytes: Vec<u8>) -> String {
        if self.prefix != Prefix::Never && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
        }
    }

    /// Takes the cache away; another thread that encodes meanwhile starts an empty one.
    fn borrow_cache(&self) -> Cache {
        self.cache.lock().map(|mut cache| std::mem::take(&mut *cache)).unwrap_or_default()
    }

    /// Puts it back, unless a fuller one is there.
    fn return_cache(&self, cache: Cache) {
        if let Ok(mut place) = self.cache.lock()
            && place.len() < cache.len()
        {
            *place = cache;
        }
    }
}

impl Clone for Tokenizer {
    fn clone(&self) -> Tokenizer {
        Tokenizer {
            pieces: self.pieces.clone(),
            merges: self.merges.clone(),
            units: self.units.clone(),
            whole_words: self.whole_words.clone(),
            added: self.added.clone(),
            foreign: self.foreign.clone(),
            text: self.text.clone(),
            beside: self.beside.clone(),
            cache: Mutex::default(),
            ..*self
        }
    }
}

/// The token of each byte, by the bytes of the pieces.
fn single_bytes(pieces: &[Option<Box<[u8]>>], added: &BTreeMap<u32, Added>) -> [Option<u32>; 256] {
    let mut bytes = [None; 256];
    for (id, piece) in pieces.iter().enumerate() {
        let id = id as u32;
        if let Some([byte]) = piece.as_deref()
            && !added.contains_key(&id)
        {
            bytes[*byte as usize].get_or_insert(id);
        }
    }
    bytes
}

#[cfg(test)]
mod beside_tests;
#[cfg(test)]
mod tests;
