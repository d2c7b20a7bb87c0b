//! What files beside a vocabulary say, and that it is kept. Expected ids and shapes are those of transformers 5.24 and
//! tokenizers 0.23.

use super::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const START: &str = "<|im_start|>";
const END: &str = "<|im_end|>";

fn toy() -> Tokenizer {
    let text = "the cat sat on the mat; the other cat sat on the hat. ".repeat(3);
    Tokenizer::train([text], 300, &["<|endoftext|>"])
}

/// A directory with this tokenizer.json and other files.
fn directory(tokenizer: &Value, files: &[(&str, Value)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    for (name, value) in files {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    dir
}

fn own() -> Value {
    serde_json::from_str(&toy().to_json()).unwrap()
}

fn open(dir: &Path) -> Tokenizer {
    Tokenizer::of_model(dir).unwrap().unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn token(text: &str) -> Value {
    json!({"content": text, "special": true, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false})
}

/// Wherever a token is declared, a template's name of it is that token, and text's is text.
#[test]
fn tokens_are_declared_in_many_files() {
    let (first, second) = (toy().vocab_size() as u32, toy().vocab_size() as u32 + 1);
    let ids = json!({START: first, END: second});
    let mut in_vocab = own();
    in_vocab["model"]["vocab"][START] = first.into();
    in_vocab["model"]["vocab"][END] = second.into();
    let decoder = json!({first.to_string(): token(START), second.to_string(): token(END)});
    let extra = json!([START]);
    for (name, tokenizer, files) in [
        (
            "added_tokens_decoder",
            own(),
            vec![("tokenizer_config.json", json!({"eos_token": END, "added_tokens_decoder": decoder}))],
        ),
        (
            "additional_special_tokens",
            in_vocab.clone(),
            vec![("tokenizer_config.json", json!({"eos_token": END, "additional_special_tokens": extra}))],
        ),
        (
            "extra_special_tokens",
            in_vocab.clone(),
            vec![(
                "tokenizer_config.json",
                json!({"eos_token": token(END), "extra_special_tokens": {"start_token": START}}),
            )],
        ),
        (
            "a role of its own",
            in_vocab.clone(),
            vec![("tokenizer_config.json", json!({"eos_token": END, "start_token": START}))],
        ),
        (
            "special_tokens_map.json",
            in_vocab,
            vec![(
                "special_tokens_map.json",
                json!({"eos_token": token(END), "additional_special_tokens": [token(START)]}),
            )],
        ),
        (
            "added_tokens.json",
            own(),
            vec![
                ("added_tokens.json", ids),
                ("special_tokens_map.json", json!({"eos_token": END, "additional_special_tokens": extra})),
            ],
        ),
        ("names without ids", own(), vec![("tokenizer_config.json", json!({"bos_token": START, "eos_token": END}))]),
    ] {
        let dir = directory(&tokenizer, &files);
        let tokenizer = open(dir.path());
        assert_eq!(tokenizer.eos(), second, "{name}");
        let text = format!("{START}the cat{END}");
        let expected = [&[first][..], &toy().encode("the cat"), &[second]].concat();
        assert_eq!(tokenizer.encode_with_special(&text), expected, "{name}");
        assert_eq!(tokenizer.encode(&text), toy().encode(&text), "{name}: text stays text");
        assert_eq!(tokenizer.decode_text(&expected), "the cat", "{name}");
        // saved, read, and saved again: the same files and ids
        let again = tempfile::tempdir().unwrap();
        tokenizer.save(again.path()).unwrap();
        open(again.path()).save(again.path()).unwrap();
        for (file, value) in &files {
            assert_eq!(&read(&again.path().join(file)), value, "{name}");
        }
        assert_eq!(read(&again.path().join("tokenizer.json")), read(&dir.path().join("tokenizer.json")), "{name}");
        assert_eq!(open(again.path()).encode_with_special(&text), expected, "{name}");
    }
}

#[test]
fn declarations_that_contradict_are_refused() {
    let decoder = |id: u32| json!({"added_tokens_decoder": {id.to_string(): token("<|endoftext|>")}});
    for (file, value, words) in [
        ("tokenizer_config.json", decoder(3), "<|endoftext|>"),
        ("tokenizer_config.json", json!({"added_tokens_decoder": {"x": "y"}}), "added_tokens_decoder"),
        ("added_tokens.json", json!({"<new>": -1}), "added_tokens.json"),
        ("added_tokens.json", json!({"<new>": 4_000_000_000u32}), "greatest id"),
        ("added_tokens.json", json!({"<new>": 5}), "another token"),
        ("tokenizer_config.json", json!(["x"]), "object"),
    ] {
        let dir = directory(&own(), &[(file, value)]);
        let error = Tokenizer::of_model(dir.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// A letter may have a role besides (padding with `!`): it stays a letter.
#[test]
fn ordinary_pieces_stay_ordinary() {
    let dir = directory(&own(), &[("tokenizer_config.json", json!({"pad_token": "!", "unk_token": "Ġcat"}))]);
    let tokenizer = open(dir.path());
    assert_eq!(tokenizer.encode("the cat!"), toy().encode("the cat!"));
    assert_eq!(tokenizer.pad(), toy().encode("!").first().copied());
    assert_eq!(tokenizer.vocab_size(), toy().vocab_size());
}

#[test]
fn what_is_unknown_becomes_the_unknown_token() {
    // no bytes but these letters
    let vocab = json!({"<unk>": 0, "<|endoftext|>": 1, "a": 2, "b": 3, "ab": 4, "Ġ": 5});
    let file = |fuse: bool| {
        json!({
            "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<|endoftext|>", "special": true}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
            "model": {"type": "BPE", "vocab": vocab, "merges": ["a b"], "unk_token": "<unk>", "fuse_unk": fuse},
        })
    };
    for (fuse, expected) in [(false, [4, 0, 0, 5, 0, 2].as_slice()), (true, &[4, 0, 5, 0, 2])] {
        let tokenizer = Tokenizer::from_json(&file(fuse).to_string()).unwrap();
        assert_eq!(tokenizer.encode("abxy ca"), expected);
        assert!(tokenizer.loses("abc") && !tokenizer.loses("ab a"));
        assert!(!tokenizer.is_control(0) && tokenizer.is_control(1) && tokenizer.is_special(0));
        assert!(tokenizer.encode("<unk>").iter().all(|&id| id != 1));
        let written = Tokenizer { text: None, ..tokenizer.clone() }.to_json();
        assert_eq!(Tokenizer::from_json(&written).unwrap().encode("abxy ca"), expected, "written anew");
        let error = tokenizer.to_gguf(6, Path::new("x")).unwrap_err().to_string();
        assert!(error.contains("unk_token"), "{error}");
    }
}

#[test]
fn post_processors_are_kept_and_their_start_token_is_used() {
    let (text, end) = (
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}),
    );
    let eos = toy().eos();
    let special = json!({"<|endoftext|>": {"id": "<|endoftext|>", "ids": [eos], "tokens": ["<|endoftext|>"]}});
    let template = |single: Vec<&Value>| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special});
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true});
    let pair = json!(["<|endoftext|>", eos]);
    for normalizer in [Value::Null, json!({"type": "NFC"})] {
        for (processor, bos) in [
            (template(vec![&text, &end]), None),
            (template(vec![&end, &text]), Some(eos)),
            (template(vec![&end, &text, &end]), Some(eos)),
            (json!({"type": "Sequence", "processors": [byte_level, template(vec![&end, &text])]}), Some(eos)),
            (
                json!({"type": "RobertaProcessing", "sep": pair, "cls": pair, "trim_offsets": true, "add_prefix_space": true}),
                Some(eos),
            ),
            (json!({"type": "BertProcessing", "sep": pair, "cls": pair}), Some(eos)),
        ] {
            let mut file = own();
            file["post_processor"] = processor.clone();
            file["normalizer"] = normalizer.clone();
            let dir = directory(&file, &[]);
            let tokenizer = open(dir.path());
            assert_eq!(tokenizer.bos(), bos, "{processor}");
            assert_eq!(tokenizer.encode("the cat"), toy().encode("the cat"));
            let again = tempfile::tempdir().unwrap();
            tokenizer.save(again.path()).unwrap();
            assert_eq!(read(&again.path().join("tokenizer.json")), file);
        }
        let mut file = own();
        file["post_processor"] = template(vec![&end, &end, &text]);
        file["normalizer"] = normalizer;
        let error = Tokenizer::from_json(&file.to_string()).unwrap_err().to_string();
        assert!(error.contains("post-processor"), "two start tokens: {error}");
    }
}

/// A space before texts, without a normalizer or a pre-tokenizer.
#[test]
fn prefix_spaces_need_no_other_part() {
    let mut bytes = own();
    bytes["pre_tokenizer"]["add_prefix_space"] = true.into();
    let tokenizer = Tokenizer::from_json(&bytes.to_string()).unwrap();
    assert_eq!(tokenizer.encode("the cat"), toy().encode(" the cat"));
    assert_eq!(tokenizer.encode_more("the cat"), toy().encode("the cat"));
    // GPT-2's class takes it from its own settings
    for (class, prefixed) in [("GPT2Tokenizer", true), ("PreTrainedTokenizerFast", false)] {
        let config = json!({"tokenizer_class": class, "add_prefix_space": true});
        let tokenizer = open(directory(&own(), &[("tokenizer_config.json", config)]).path());
        assert_eq!(tokenizer.encode("the cat") == toy().encode(" the cat"), prefixed, "{class}");
    }
    let unigram = |normalizer: Value, pre_tokenizer: Value| {
        json!({
            "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "</s>", "special": true}],
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
            "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
            "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
                      "vocab": [["<unk>", 0.0], ["</s>", 0.0], ["▁", -3.0], ["a", -2.0], ["▁a", -1.0], ["<", -4.0], ["/", -4.0], ["s", -4.0], [">", -4.0]]},
        })
    };
    let metaspace = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let prepend = json!({"type": "Prepend", "prepend": "▁"});
    for file in [unigram(Value::Null, metaspace), unigram(prepend, Value::Null)] {
        let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
        assert_eq!(tokenizer.encode("aa"), [4, 3]);
        assert_eq!(tokenizer.encode_more("aa"), [3, 3]);
        // its own pieces have the name, and still no text becomes it
        assert_eq!(tokenizer.encode_more("</s>"), [5, 6, 7, 8]);
        assert_eq!(tokenizer.encode_with_special("a</s>"), [4, 1]);
        assert_eq!(tokenizer.encode_more("ax"), [3, 0], "unknown");
    }
}

/// Merges that would make a control token of text are left out.
#[test]
fn no_merge_makes_a_control_token() {
    let mut file = own();
    let id = toy().vocab_size();
    file["model"]["vocab"]["<s"] = id.into();
    file["model"]["vocab"]["<s>"] = (id + 1).into();
    let merges = file["model"]["merges"].as_array_mut().unwrap();
    merges.extend([json!("< s"), json!("<s >")]);
    file["added_tokens"].as_array_mut().unwrap().push(json!({"id": id + 1, "content": "<s>", "special": true}));
    for normalizer in [Value::Null, json!({"type": "NFC"})] {
        file["normalizer"] = normalizer;
        let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
        assert!(tokenizer.encode("a <s><s> b").iter().all(|&id| !tokenizer.is_special(id)));
        assert_eq!(tokenizer.encode_with_special("<s>"), [id as u32 + 1]);
    }
}

#[test]
fn a_single_word_is_found_alone() {
    let mut file = own();
    let id = toy().vocab_size() as u32;
    let token = json!({"id": id, "content": "<x>", "special": true, "single_word": true, "rstrip": true});
    file["added_tokens"].as_array_mut().unwrap().push(token);
    let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
    let found = |text: &str| tokenizer.encode_with_special(text).contains(&id);
    assert!(found("<x>") && found("a <x>.") && !found("a<x>") && !found("<x>7") && !found("<x>_"));
    let error = tokenizer.to_gguf(310, Path::new("x")).unwrap_err().to_string();
    assert!(error.contains("<x>") && error.contains("single_word"), "{error}");
}

#[test]
fn two_old_files_are_cut_as_the_class_says() {
    let file = own();
    let of = |config: Value, model_type: &str| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("vocab.json"), file["model"]["vocab"].to_string()).unwrap();
        let merges: Vec<&str> = file["model"]["merges"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        fs::write(dir.path().join("merges.txt"), format!("#version: 0.2\n{}\n", merges.join("\n"))).unwrap();
        fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        fs::write(dir.path().join("config.json"), json!({"model_type": model_type}).to_string()).unwrap();
        Tokenizer::of_model(dir.path()).map(Option::unwrap)
    };
    let class = |name: &str| json!({"tokenizer_class": name});
    let composed = |tokenizer: &Tokenizer| tokenizer.encode("e\u{301}") == toy().encode("é");
    for (config, model_type, composes) in [
        (class("Qwen2Tokenizer"), "llama", true),
        (class("Qwen2TokenizerFast"), "qwen2", true),
        (json!({}), "qwen3", true),
        (class("GPTNeoXTokenizer"), "gpt_neox", true),
        (class("GPT2Tokenizer"), "llama", false),
        (json!({}), "gpt2", false),
    ] {
        let tokenizer = of(config.clone(), model_type).unwrap();
        assert_eq!(composed(&tokenizer), composes, "{config} {model_type}");
        let written = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
        assert_eq!(written.encode("I'M 12345 e\u{301}"), tokenizer.encode("I'M 12345 e\u{301}"));
    }
    let prefixed = of(json!({"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": true}), "gpt2").unwrap();
    assert_eq!(prefixed.encode("the cat"), toy().encode(" the cat"));
    let error = of(class("BloomTokenizer"), "llama").unwrap_err().to_string();
    assert!(error.contains("BloomTokenizer") && error.contains("merges.txt"), "{error}");
}

#[test]
fn all_of_tokenizer_config_is_kept() {
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "pad_token": token("<|endoftext|>"),
        "model_max_length": 77, "padding_side": "left", "clean_up_tokenization_spaces": true, "somebody_elses": {"a": [1, null]},
        "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}],
    });
    let dir = directory(&own(), &[("tokenizer_config.json", config.clone())]);
    fs::create_dir(dir.path().join("additional_chat_templates")).unwrap();
    fs::write(dir.path().join("additional_chat_templates/rag.jinja"), "c").unwrap();
    let tokenizer = open(dir.path());
    assert!(tokenizer.has_named_templates());
    let again = tempfile::tempdir().unwrap();
    tokenizer.save(again.path()).unwrap();
    assert_eq!(read(&again.path().join("tokenizer_config.json")), config);
    assert_eq!(fs::read_to_string(again.path().join("additional_chat_templates/rag.jinja")).unwrap(), "c");
    tokenizer.save_padding(again.path(), None).unwrap();
    let mut wanted = config;
    wanted.as_object_mut().unwrap().remove("pad_token");
    assert_eq!(read(&again.path().join("tokenizer_config.json")), wanted);
    // a tokenizer of our own says what it has
    toy().save(again.path()).unwrap();
    let said = read(&again.path().join("tokenizer_config.json"));
    assert_eq!((&said["eos_token"], said.get("pad_token")), (&json!("<|endoftext|>"), None));
}

/// Padding that was added behind the embedding is no reason to refuse a model.
#[test]
fn control_tokens_behind_the_embedding_are_told() {
    let rows = toy().vocab_size();
    let fits = |config: Value| open(directory(&own(), &[("tokenizer_config.json", config)]).path()).fits(rows);
    assert_eq!(fits(json!({})), Ok(None));
    assert!(fits(json!({"pad_token": "<pad>"})).unwrap().unwrap().contains("<pad>"));
    assert!(fits(json!({"eos_token": "<new>"})).unwrap_err().contains("<new>"));
    let plain = json!({"added_tokens_decoder": {rows.to_string(): {"content": "<tool>", "special": false}}});
    assert!(fits(plain).unwrap_err().contains("<tool>"), "text may become it");
}

#[test]
fn long_pieces_are_refused() {
    let piece = |text: &[u8]| [&0f32.to_le_bytes()[..], &(text.len() as u32).to_le_bytes(), text].concat();
    let file = |long: usize| {
        let pieces = [b"<unk>".to_vec(), b"<s>".to_vec(), b"</s>".to_vec(), vec![b'a'; long]];
        [vec![0; 4], pieces.iter().flat_map(|text| piece(text)).collect()].concat()
    };
    let read = |long| sentencepiece::parse_llama2c(&file(long), &Beside::default());
    assert!(read(512).is_ok());
    assert!(matches!(read(1 << 18), Err(error::Fault::Malformed(reason)) if reason.contains("262144 bytes")));
}

/// GGUF says what tokens are for, and the rest goes along for whoever turns it into a directory again.
#[test]
fn gguf_takes_what_lies_beside_along() {
    let config = json!({"eos_token": "<|endoftext|>", "pad_token": "<pad>", "bos_token": "<s>", "model_max_length": 77, "add_bos_token": false});
    let tokenizer = open(directory(&own(), &[("tokenizer_config.json", config.clone())]).path());
    let rows = tokenizer.vocab_size() + 5;
    let roles = tokenizer.roles();
    let id = |text: &str| tokenizer.added_token(text).unwrap();
    assert_eq!(roles, [("bos", id("<s>")), ("padding", id("<pad>"))]);
    let said = tokenizer.to_gguf(rows, Path::new("x")).unwrap().into_iter();
    let roles = [("eos", tokenizer.eos())].into_iter().chain(roles);
    let roles = roles
        .map(|(key, id)| (format!("tokenizer.ggml.{key}_token_id"), crate::files::gguf::Value::Integer(id.into())));
    let mut said: crate::files::gguf::Metadata = said.chain(roles).collect();
    let dir = tempfile::tempdir().unwrap();
    Tokenizer::from_gguf(&said, Path::new("x")).unwrap().unwrap().save(dir.path()).unwrap();
    let mut wanted = config;
    wanted["tokenizer_class"] = "PreTrainedTokenizerFast".into();
    assert_eq!(read(&dir.path().join("tokenizer_config.json")), wanted);
    // of a file of llama.cpp's, what its keys say
    said.remove("rlhf.tokenizer_config");
    Tokenizer::from_gguf(&said, Path::new("x")).unwrap().unwrap().save(dir.path()).unwrap();
    let found = read(&dir.path().join("tokenizer_config.json"));
    for key in ["eos_token", "pad_token", "bos_token"] {
        assert_eq!(found[key], wanted[key], "{key}");
    }
}
