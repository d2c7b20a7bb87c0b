//! A tokenizer as `tokenizer.json`, where it was read from something else or learned here.

use serde_json::{Value, json};

use super::json::GPT4;
use super::sentencepiece::{self, SPACE};
use super::{Prefix, Split, Tokenizer, Units, alphabet, around};

/// How a token is written in files.
pub fn text_of(tokenizer: &Tokenizer, id: u32) -> String {
    match (tokenizer.added.get(&id), &tokenizer.units) {
        (Some(token), _) => token.text.clone(),
        (None, Units::Bytes(_)) => alphabet::write(tokenizer.piece(id)),
        (None, Units::Chars { bytes, .. }) => sentencepiece::text(id, tokenizer.piece(id), bytes),
    }
}

/// The file, of a tokenizer that is not foreign to us.
pub fn json(tokenizer: &Tokenizer) -> String {
    let byte_level = matches!(tokenizer.units, Units::Bytes(_));
    let text_of = |id| text_of(tokenizer, id);
    let ids = (0..tokenizer.pieces.len() as u32).filter(|&id| tokenizer.pieces[id as usize].is_some());
    let vocab: serde_json::Map<String, Value> = ids.map(|id| (text_of(id), id.into())).collect();
    let merges = tokenizer.merges.in_order().into_iter();
    let merges: Vec<String> = merges.map(|(left, right)| format!("{} {}", text_of(left), text_of(right))).collect();
    let added = tokenizer.added.iter().map(|(id, token)| {
        json!({"id": id, "content": token.text, "single_word": token.single_word, "lstrip": token.strip.0, "rstrip": token.strip.1,
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
    let unk = tokenizer.unk.map(|unk| text_of(unk.id));
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": around::written(tokenizer), "decoder": decoder,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unk, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": tokenizer.unk.map_or(!byte_level, |unk| unk.fuse), "byte_fallback": !byte_level, "ignore_merges": tokenizer.whole_words.is_some(),
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
