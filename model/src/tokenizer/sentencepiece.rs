//! Sentencepiece's BPE: symbols are characters, with bytes for those that are no piece; a space is written ▁
//! in files and put before every text. A ▁ that a text itself has is encoded by its bytes, so that it comes back
//! (sentencepiece makes it a space). Also llama2.c's `tokenizer.bin`, which is such a vocabulary.

use std::collections::BTreeMap;

use super::beside::Beside;
use super::bpe::{Merge, Merges};
use super::error::{Fault, malformed};
use super::hash::FastMap;
use super::{Added, Prefix, Split, Tokenizer, Units};

/// How a space is written.
pub const SPACE: &str = "▁";

/// The bytes that a piece stands for: `<0x0A>` is a line feed, `▁the` is ` the`.
pub fn piece(text: &str) -> Vec<u8> {
    match byte_piece(text) {
        Some(byte) => vec![byte],
        None => text.replace(SPACE, " ").into_bytes(),
    }
}

/// The byte that `<0x0A>` and its like mean.
pub fn byte_piece(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>').filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

/// How the piece `id` is written.
pub fn text(id: u32, piece: &[u8], bytes: &[Option<u32>; 256]) -> String {
    match piece {
        [byte] if bytes[*byte as usize] == Some(id) => format!("<0x{byte:02X}>"),
        _ => String::from_utf8_lossy(piece).replace(' ', SPACE),
    }
}

/// Characters that are pieces, and the pieces of bytes.
pub fn units(pieces: &[Option<Box<[u8]>>], added: &BTreeMap<u32, Added>, bytes: [Option<u32>; 256]) -> Units {
    let mut chars = FastMap::default();
    for (id, piece) in pieces.iter().enumerate() {
        let id = id as u32;
        let Some(Ok(text)) = piece.as_deref().map(std::str::from_utf8) else { continue };
        let mut letters = text.chars();
        if let (Some(c), None) = (letters.next(), letters.next())
            && !added.contains_key(&id)
            && !bytes.contains(&Some(id))
        {
            chars.entry(c).or_insert(id);
        }
    }
    Units::Chars { chars, bytes }
}

/// llama2.c's format: the longest piece's length (u32), then for each id its score (f32), length (i32) and
/// text. Of two neighbours that are a piece together, those with the best score are merged first.
pub fn parse_llama2c(file: &[u8], beside: &Beside) -> Result<Tokenizer, Fault> {
    let mut rest = file.get(4..).unwrap_or_default();
    let (mut pieces, mut scores, mut bytes) = (vec![], vec![], [None; 256]);
    while !rest.is_empty() {
        let id = pieces.len();
        let Some((head, tail)) = rest.split_first_chunk::<8>() else {
            return malformed(format!("it ends in the middle of token {id}"));
        };
        let score = f32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let Some((text, tail)) = tail.split_at_checked(length) else {
            return malformed(format!("token {id} should be {length} bytes long, {} are left", tail.len()));
        };
        let Ok(text) = std::str::from_utf8(text) else { return malformed(format!("token {id} is not UTF-8")) };
        if let Some(byte) = byte_piece(text) {
            bytes[byte as usize] = Some(id as u32);
        }
        pieces.push(Some(piece(text).into_boxed_slice()));
        scores.push(score);
        rest = tail;
    }
    if pieces.len() < 3 {
        return malformed("it has fewer than the three control tokens <unk>, <s> and </s>");
    }
    let added = ["<unk>", "<s>", "</s>"].map(|text| Added::new(text, true));
    let added = (0..).zip(added).collect();
    let mut tokenizer = by_score(pieces, &scores, added, bytes, beside)?;
    tokenizer.bos = Some(1);
    tokenizer.prefix = Prefix::Always;
    Ok(tokenizer)
}

/// Every way to cut a piece in two is looked up: a longer one would take long.
const MAX_PIECE: usize = 512;

/// A vocabulary whose merges follow from the scores of its pieces.
pub fn by_score(
    mut pieces: Vec<Option<Box<[u8]>>>,
    scores: &[f32],
    mut added: BTreeMap<u32, Added>,
    bytes: [Option<u32>; 256],
    beside: &Beside,
) -> Result<Tokenizer, Fault> {
    let long = |piece: &Option<Box<[u8]>>| piece.as_ref().is_some_and(|piece| piece.len() > MAX_PIECE);
    if let Some(id) = pieces.iter().position(long) {
        let length = pieces[id].as_ref().map_or(0, |piece| piece.len());
        return malformed(format!("token {id} has {length} bytes, at most {MAX_PIECE} are read"));
    }
    let vocab = pieces.iter().enumerate().filter_map(|(id, piece)| {
        let text = String::from_utf8(piece.as_deref()?.to_vec()).ok()?;
        Some((text, id as u32))
    });
    let vocab: BTreeMap<String, u32> = vocab.collect();
    beside.declare(&vocab, std::iter::empty(), &mut added)?;
    if let Some(last) = added.keys().max().map(|&id| id as usize).filter(|&id| id >= pieces.len()) {
        if last > pieces.len() + 4096 {
            return malformed(format!("the greatest id is {last}, but there are only {} tokens", pieces.len()));
        }
        pieces.resize(last + 1, None);
    }
    for (&id, token) in &added {
        pieces[id as usize] = Some(token.text.as_bytes().into());
    }
    let units = units(&pieces, &added, bytes);
    let merges = merges_by_score(&pieces, scores, &added, &bytes);
    let (eos, bos) = beside.ends(&vocab, &added, pieces.len())?;
    let mut tokenizer = Tokenizer::new(pieces, merges, units, Split::Whole, added, eos);
    tokenizer.bos = bos;
    Ok(tokenizer)
}

/// Every way to put a piece together from two others, at the rank of its score.
fn merges_by_score(
    pieces: &[Option<Box<[u8]>>],
    scores: &[f32],
    added: &BTreeMap<u32, Added>,
    bytes: &[Option<u32>; 256],
) -> Merges {
    let is_text = |id: u32| !added.contains_key(&id) && !bytes.contains(&Some(id));
    let texts = pieces.iter().enumerate().filter_map(|(id, piece)| Some((id as u32, piece.as_deref()?)));
    let texts: Vec<(u32, &[u8])> = texts.filter(|&(id, _)| is_text(id)).collect();
    let id_of: FastMap<&[u8], u32> = texts.iter().map(|&(id, piece)| (piece, id)).collect();
    let mut by_score = texts;
    by_score.sort_by(|a, b| scores[b.0 as usize].total_cmp(&scores[a.0 as usize]));
    let mut merges = Merges::default();
    for (rank, (id, piece)) in by_score.into_iter().enumerate() {
        for at in 1..piece.len() {
            if let (Some(&left), Some(&right)) = (id_of.get(&piece[..at]), id_of.get(&piece[at..])) {
                merges.insert(left, right, Merge { rank: rank as u32, id });
            }
        }
    }
    merges
}
