//! The tokenizer against golden files, against itself, and against broken input.

use super::*;
use crate::tests::shared::{shared, smollm2};

fn gpt2() -> Option<Tokenizer> {
    Some(Tokenizer::from_file(&shared("data/tokenizers/gpt2/encoder.json")?).unwrap())
}

fn toy() -> Tokenizer {
    let text = "the cat sat on the mat; the other cat sat on the hat. ".repeat(3);
    Tokenizer::train([text], 300, &["<|endoftext|>", "<|user|>"])
}

#[test]
fn gpt2_encodes_llama_cpps_47_strings() {
    let Some(tokenizer) = gpt2() else { return };
    let dir = "data/tokenizers/gpt2/llama.cpp.ggml-vocab-gpt-2.gguf";
    let read = |end: &str| std::fs::read_to_string(shared(&format!("{dir}.{end}")).unwrap()).unwrap();
    let (input, output) = (read("inp"), read("out"));
    let strings: Vec<&str> = input.split("\n__ggml_vocab_test__\n").collect();
    // the last string is empty, and so is its line
    let lines: Vec<&str> = output.split('\n').collect();
    assert_eq!((strings.len(), lines.len()), (47, 47));
    for (string, line) in strings.into_iter().zip(lines) {
        let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
        assert_eq!(tokenizer.encode(string), expected, "{string:?}");
        assert_eq!(tokenizer.decode(&expected), string);
    }
}

#[test]
fn gpt2_encodes_the_golden_strings() {
    let Some(tokenizer) = gpt2() else { return };
    let golden = std::fs::read_to_string(shared("data/tokenizers/gpt2/golden.jsonl").unwrap()).unwrap();
    let mut rows = 0;
    for line in golden.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = row["text"].as_str().unwrap();
        let expected: Vec<u32> = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        assert_eq!(tokenizer.encode(text), expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected), text);
        rows += 1;
    }
    assert!(rows >= 47, "{rows} rows");
    assert_eq!((tokenizer.vocab_size(), tokenizer.eos(), tokenizer.bos()), (50257, 50256, None));
}

#[test]
fn a_tokenizer_json_says_the_same_as_gpt2s_files() {
    let Some(tokenizer) = gpt2() else { return };
    let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
    let text = "Führer 日本 I'll  see:\n\n\n1984 <|endoftext|> naïve";
    assert_eq!(again.encode(text), tokenizer.encode(text));
    assert_eq!(again.pieces, tokenizer.pieces);
    assert_eq!((again.eos(), again.added.clone()), (tokenizer.eos(), tokenizer.added.clone()));
}

#[test]
fn real_texts_come_back() {
    for name in ["tinyshakespeare.txt", "sherlock_body.txt", "austen.txt", "tinystories_1m.txt"] {
        let (Some(path), Some(tokenizer)) = (shared(&format!("data/text/{name}")), gpt2()) else { return };
        let bytes = std::fs::read(path).unwrap();
        let ids = tokenizer.encode_bytes(&bytes);
        assert!(tokenizer.decode_bytes(&ids) == bytes, "{name}");
        assert!(ids.len() * 3 < bytes.len(), "{name}: {} tokens", ids.len());
    }
}

#[test]
fn random_bytes_come_back() {
    let tokenizer = toy();
    for trial in 0..300 {
        let mut draws = kernels::Rng::new(11).fold(trial).draws();
        let words: [&[u8]; 8] =
            [b"the ", b"cat", "é日".as_bytes(), b"<|endoftext|>", b"\r\n  ", b"\xff\xc3", b"7", b"\0"];
        let mut bytes = vec![];
        for _ in 0..draws.below(40) {
            match draws.chance(0.5) {
                true => bytes.extend_from_slice(words[draws.below(words.len())]),
                false => bytes.push(draws.below(256) as u8),
            }
        }
        let ids = tokenizer.encode_bytes(&bytes);
        assert_eq!(tokenizer.decode_bytes(&ids), bytes);
        assert!(ids.iter().all(|&id| !tokenizer.is_special(id)));
        if let Ok(text) = std::str::from_utf8(&bytes) {
            assert_eq!(tokenizer.encode(text), ids);
            assert_eq!(tokenizer.decode(&ids), text);
        }
    }
}

#[test]
fn text_does_not_become_a_special_token_unless_asked() {
    let tokenizer = toy();
    let text = "the cat<|endoftext|><|user|> sat";
    assert!(tokenizer.encode(text).iter().all(|&id| !tokenizer.is_special(id)));
    let ids = tokenizer.encode_with_special(text);
    let special: Vec<u32> = ids.iter().copied().filter(|&id| tokenizer.is_special(id)).collect();
    assert_eq!(special, [tokenizer.eos(), tokenizer.added_token("<|user|>").unwrap()]);
    assert_eq!(tokenizer.decode(&ids), text);
    assert_eq!(tokenizer.decode_text(&ids), "the cat sat");
}

#[test]
fn training_is_deterministic_and_merges_whole_words() {
    let (a, b) = (toy(), toy());
    assert_eq!(a.to_json(), b.to_json());
    assert_eq!(a.encode(" the cat").len(), 2);
    assert_eq!(a.eos() as usize, a.vocab_size() - 2);
    assert!(!a.loses("é日本 \0 🙂"));
}

#[test]
fn both_spellings_of_merges_are_read() {
    let tokenizer = toy();
    let mut file: serde_json::Value = serde_json::from_str(&tokenizer.to_json()).unwrap();
    for merge in file["model"]["merges"].as_array_mut().unwrap() {
        let (left, right) = merge.as_str().unwrap().split_once(' ').unwrap();
        *merge = serde_json::json!([left, right]);
    }
    let again = Tokenizer::from_json(&file.to_string()).unwrap();
    assert!(again.same_as(&tokenizer));
}

#[test]
fn every_split_survives_the_file() {
    for split in [Split::Gpt2 { digits: true }, Split::Gpt4 { digits: 3 }, Split::Gpt4 { digits: 1 }, Split::Whole] {
        let tokenizer = Tokenizer { split, ..toy() };
        assert_eq!(Tokenizer::from_json(&tokenizer.to_json()).unwrap().split, split);
    }
}

#[test]
fn what_is_not_implemented_is_refused_by_name() {
    let with = |pointer: &str, value: serde_json::Value| {
        let mut file: serde_json::Value = serde_json::from_str(&toy().to_json()).unwrap();
        *file.pointer_mut(pointer).unwrap() = value;
        Tokenizer::from_json(&file.to_string()).unwrap_err().to_string()
    };
    use serde_json::json;
    let message = with("/model/dropout", json!(0.1));
    assert!(message.contains("`dropout`") && message.contains("tokenizer.json"), "{message}");
    for (pointer, value, part) in [
        ("/model/merges/0", json!("a"), "merge 0"),
        ("/model/merges/0", json!("q zz"), "not in the vocabulary"),
        ("/model/vocab/A", json!(4_000_000_000u32), "greatest id"),
        ("/model/vocab/A", json!(-1), "whole number"),
        ("/model/vocab/A", json!(7), "another token"),
        ("/model/vocab", json!({"日": 0}), "byte-level alphabet"),
        ("/added_tokens/0/content", json!(""), "empty"),
        ("/added_tokens", json!([]), "no token ends a text"),
        ("/model/type", json!("Unigram"), "tokenizer.json is not a tokenizer"),
        ("/normalizer", json!({"type": "Reversed"}), "tokenizer.json is not a tokenizer"),
    ] {
        let message = with(pointer, value);
        assert!(message.contains(part), "{message}");
    }
}

/// The same file with a normalizer is more than our own code reads.
fn foreign(own: &Tokenizer, change: impl Fn(&mut serde_json::Value)) -> Tokenizer {
    let mut file: serde_json::Value = serde_json::from_str(&own.to_json()).unwrap();
    change(&mut file);
    let tokenizer = Tokenizer::from_json(&file.to_string()).unwrap();
    assert!(tokenizer.foreign.is_some());
    tokenizer
}

#[test]
fn a_foreign_tokenizer_says_the_same_as_our_own() {
    let Some(own) = gpt2() else { return };
    let nfc = serde_json::json!({"type": "NFC"});
    let foreign = foreign(&own, |file| file["normalizer"] = nfc.clone());
    assert_eq!((foreign.vocab_size(), foreign.eos(), foreign.bos()), (own.vocab_size(), own.eos(), own.bos()));
    assert_eq!(foreign.pieces, own.pieces);
    let input = shared("data/tokenizers/gpt2/llama.cpp.ggml-vocab-gpt-2.gguf.inp").unwrap();
    let mut differ = 0;
    for string in std::fs::read_to_string(input).unwrap().split("\n__ggml_vocab_test__\n") {
        let (ours, theirs) = (own.encode(string), foreign.encode(string));
        differ += usize::from(ours != theirs); // where NFC changes something
        let text = format!("{string}<|endoftext|>{string}");
        assert_eq!(foreign.encode_with_special(&text), [&theirs[..], &[own.eos()], &theirs].concat());
        assert!(foreign.encode(&text).iter().all(|&id| id != own.eos()));
    }
    assert!(differ <= 2, "{differ} of 47 differ");
    assert_eq!(foreign.encode("e\u{301}"), own.encode("é"));
    assert_eq!(foreign.encode_bytes(b"a\xffb"), own.encode_bytes(b"a\xffb"));
    let again = Tokenizer::from_json(&foreign.to_json()).unwrap();
    assert_eq!(again.encode("Zoë's 12"), foreign.encode("Zoë's 12"));
}

#[test]
fn spaces_before_texts_are_as_the_file_says() {
    let Some(path) = shared("data/weights/stories260K/tok512.bin") else { return };
    let own = Tokenizer::from_file(&path).unwrap();
    let text = "Once upon</s> a time</s>there";
    let pieces = |tokenizer: &Tokenizer| {
        let texts = [tokenizer.encode_with_special(text), tokenizer.encode_more("Once"), tokenizer.encode("Once")];
        texts.map(|ids| String::from_utf8_lossy(&tokenizer.decode_bytes(&ids)).into_owned())
    };
    let metaspace = |scheme: &str| serde_json::json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": false});
    for (scheme, expected) in [
        ("always", " Once upon</s> a time</s> there"),
        ("first", " Once upon</s> a time</s>there"),
        ("never", "Once upon</s> a time</s>there"),
    ] {
        let once = if scheme == "never" { "Once" } else { " Once" };
        let mut file: serde_json::Value = serde_json::from_str(&own.to_json()).unwrap();
        file["normalizer"] = serde_json::Value::Null;
        file["pre_tokenizer"] = metaspace(scheme);
        let read = Tokenizer::from_json(&file.to_string()).unwrap();
        assert!(read.foreign.is_none());
        assert_eq!(pieces(&read), [expected, "Once", once], "{scheme}");
        assert_eq!(pieces(&Tokenizer::from_json(&read.to_json()).unwrap()), pieces(&read), "{scheme}");
        let foreign = foreign(&read, |file| {
            file["normalizer"] = serde_json::json!({"type": "NFC"});
            file["pre_tokenizer"] = metaspace(scheme);
        });
        assert_eq!(pieces(&foreign), pieces(&read), "{scheme}");
        assert_eq!(foreign.encode_with_special(text), read.encode_with_special(text), "{scheme}");
    }
}

#[test]
fn a_guard_keeps_names_apart_and_is_gone_afterwards() {
    let tokenizer = toy();
    let text = ["the <|user|>the cat", " sat <~|user|> <|end~oftext|>", "<|endoftext|>"];
    let ids = tokenizer.encode_guarded(&text, "~");
    let plain = [" sat ".to_string(), "<|user|>".into(), " <|endoftext|>".into()].concat();
    assert_eq!(ids[1], tokenizer.encode(&plain));
    assert_eq!(ids.iter().map(|part| tokenizer.decode(part)).collect::<String>(), text.concat().replace('~', ""));
    let special = |ids: &[u32]| ids.iter().filter(|&&id| tokenizer.is_special(id)).count();
    assert_eq!(ids.iter().map(|part| special(part)).collect::<Vec<_>>(), [1, 0, 1]);
}

#[test]
fn smollm2_encodes_the_golden_strings() {
    let Some(golden) = shared("data/weights/smollm2-135m-instruct/tokenizer_golden.json") else { return };
    let Some(model) = smollm2() else { return };
    let tokenizer = Tokenizer::of_model(&model).unwrap().unwrap();
    let rows: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    for row in rows.as_array().unwrap() {
        let ids: Vec<u64> = row["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let found = tokenizer.encode_with_special(row["text"].as_str().unwrap());
        assert_eq!(found.into_iter().map(u64::from).collect::<Vec<_>>(), ids, "{row}");
    }
}

/// Bytes of a good file changed, dropped and doubled at random: an error or a tokenizer, never a panic.
#[test]
fn broken_files_never_panic() {
    let json = toy().to_json();
    let foreign = foreign(&toy(), |file| file["normalizer"] = serde_json::json!({"type": "NFC"})).to_json();
    let bin = [&7u32.to_le_bytes()[..], &[0; 4], &5u32.to_le_bytes(), b"<unk>", &[0; 4], &3u32.to_le_bytes(), b"<s>"]
        .concat();
    for trial in 0..4000 {
        let mut draws = kernels::Rng::new(5).fold(trial).draws();
        let mut bytes = match trial % 4 {
            0 => bin.clone(),
            1 => foreign.clone().into_bytes(),
            _ => json.clone().into_bytes(),
        };
        for _ in 0..1 + draws.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = draws.below(bytes.len());
            match draws.below(4) {
                0 => bytes[at] = draws.below(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes[at] = *draws.choose(b"0123456789\"{}[],:- a"),
                _ => bytes.truncate(at + 1),
            }
        }
        let parsed = match trial % 4 {
            0 => sentencepiece::parse_llama2c(&bytes, &Beside::default()).ok(),
            _ => Tokenizer::from_json(&String::from_utf8_lossy(&bytes)).ok(),
        };
        if let Some(tokenizer) = parsed {
            let ids = tokenizer.encode_with_special("the cat<|endoftext|> é");
            tokenizer.decode(&ids);
        }
    }
}

/// Any value of a good file replaced by any other: an error or a tokenizer, never a panic.
#[test]
fn strange_files_never_panic() {
    fn pointers(value: &serde_json::Value, at: String, all: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) => map.iter().for_each(|(key, v)| pointers(v, format!("{at}/{key}"), all)),
            serde_json::Value::Array(list) => {
                list.iter().take(3).enumerate().for_each(|(i, v)| pointers(v, format!("{at}/{i}"), all));
            }
            _ => {}
        }
        if !at.contains("/vocab/") || all.len().is_multiple_of(16) {
            all.push(at);
        }
    }
    use serde_json::json;
    let strange = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1u64 << 40),
        json!(0.5),
        json!(""),
        json!("a b"),
        json!("Ġ"),
        json!([]),
        json!(["a"]),
        json!(["a", "b"]),
        json!({}),
        json!({"type": "Sequence"}),
        json!({"a": 7}),
        json!({"type": "BPE", "vocab": {}}),
    ];
    for byte_fallback in [false, true] {
        let mut good: serde_json::Value = serde_json::from_str(&toy().to_json()).unwrap();
        if byte_fallback {
            good["model"]["byte_fallback"] = json!(true);
            good["pre_tokenizer"] = json!(null);
        }
        let mut all = vec![];
        pointers(&good, String::new(), &mut all);
        for pointer in &all {
            for value in &strange {
                let mut file = good.clone();
                *file.pointer_mut(&pointer.replace('~', "~0")).unwrap_or(&mut json!(0)) = value.clone();
                if let Ok(tokenizer) = Tokenizer::from_json(&file.to_string()) {
                    tokenizer.decode(&tokenizer.encode_with_special("the cat<|endoftext|> é"));
                    tokenizer.to_json();
                }
            }
        }
    }
}

#[test]
fn stories260k_reads_and_writes_sentencepiece() {
    let Some(path) = shared("data/weights/stories260K/tok512.bin") else { return };
    let tokenizer = Tokenizer::from_file(&path).unwrap();
    assert_eq!((tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos()), (512, Some(1), 2));
    let golden = std::fs::read_to_string(path.with_file_name("golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let expected: Vec<u32> = golden["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
    let prompt = golden["prompt"].as_str().unwrap();
    assert_eq!(tokenizer.encode_start(prompt), expected);
    assert_eq!(Tokenizer::find(path.parent().unwrap()), Some(path.clone()));
    assert_eq!(tokenizer.decode_text(&expected), prompt);

    let story = std::fs::read_to_string(path.with_file_name("expected_run_t0_n200.txt")).unwrap();
    let ids = tokenizer.encode(&story);
    assert_eq!(tokenizer.decode(&ids), story);
    let mut stream = tokenizer.stream(true);
    assert_eq!(ids.iter().map(|&id| stream.push(id)).collect::<String>(), story);

    let more = [tokenizer.encode(prompt), tokenizer.encode_more(" that barked.")].concat();
    assert_eq!(tokenizer.decode(&more), format!("{prompt} that barked."));

    let again = Tokenizer::from_json(&tokenizer.to_json()).unwrap();
    assert_eq!(again.encode(&story), ids);
    assert_eq!((again.bos(), again.eos()), (Some(1), 2));
    let odd = "日本 ▁ \u{1F642}  two  spaces";
    assert_eq!(again.decode(&again.encode(odd)), odd);
}

/// `cargo test --release -p rlhf-model -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Some(path) = shared("data/text/austen.txt") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let megabytes = text.len() as f64 / 1e6;
    let clock = std::time::Instant::now();
    let tokenizer = Tokenizer::train([&text], 8192, &["<|endoftext|>"]);
    println!("train, 8192 tokens: {:.2} MB/s", megabytes / clock.elapsed().as_secs_f64());
    for (name, tokenizer) in [("own", Some(tokenizer)), ("GPT-2", gpt2())] {
        let Some(tokenizer) = tokenizer else { continue };
        let clock = std::time::Instant::now();
        let ids = tokenizer.encode(&text);
        let encoded = clock.elapsed().as_secs_f64();
        let clock = std::time::Instant::now();
        let decoded = tokenizer.decode(&ids);
        println!(
            "{name}: encode {:.1} MB/s, decode {:.1} MB/s",
            megabytes / encoded,
            megabytes / clock.elapsed().as_secs_f64()
        );
        assert!(decoded == text);
    }
}
