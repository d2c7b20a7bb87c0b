//! The verbs that read a model and learn nothing, and what PPO asks of its judge: right values, and refusals in words.

use crate::cli::{file, path, refuses, rlhf, scratch, stderr, stdout};
use crate::support::shared;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A folder of ../shared/cases, or none where it is not there.
fn case(name: &str) -> Option<String> {
    shared(&format!("cases/{name}")).map(|path| path.to_str().unwrap().to_string())
}

fn at(name: &str) -> String {
    scratch().join(name).to_str().unwrap().to_string()
}

#[track_caller]
fn good(args: &[&str]) -> Output {
    let device: &[&str] = if args.contains(&"--device") { &[] } else { &["--device", "cpu"] };
    let output = rlhf(&[args, device].concat());
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    output
}

#[track_caller]
fn json(args: &[&str]) -> Value {
    serde_json::from_slice(&good(&[args, &["--json"]].concat()).stdout).unwrap()
}

#[track_caller]
fn near(a: &Value, b: f64, tolerance: f64) {
    let a = a.as_f64().unwrap_or_else(|| panic!("{a} is no number"));
    assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} is not {b}");
}

/// The reference: transformers 5.24 by the loop of its page "Perplexity of fixed-length models", in f32.
#[test]
fn a_text_beyond_the_context_is_scored_in_windows() {
    let Some(case) = case("files/score-cuts-in-silence") else { return };
    let (model, rows) = (format!("{case}/model"), format!("{case}/rows.jsonl"));
    for (stride, perplexity) in [("63", 537.2352294921875), ("32", 544.9219360351562), ("16", 545.4298706054688)] {
        let output = good(&["score", "--model", &model, "--data", &rows, "--json", "--stride", stride]);
        let scored: Value = serde_json::from_slice(&output.stdout).unwrap();
        let logprobs = scored["rows"][0]["logprobs"].as_array().unwrap();
        assert_eq!((logprobs.len(), logprobs.iter().filter(|x| x.is_null()).count()), (241, 1));
        near(&scored["perplexity"], perplexity, 1e-4);
        let told = stderr(&output);
        assert!(told.contains("context of 64: 1 of 1 texts are longer") && told.contains(stride), "{told}");
    }
    near(&json(&["score", "--model", &model, "--data", &rows])["perplexity"], 537.2352294921875, 1e-4);
    for stride in ["0", "64"] {
        refuses(&["score", "--model", &model, "--data", &rows, "--stride", stride], 2, &["--stride", "1 to 63"]);
    }
}

#[test]
fn texts_of_one_token_or_none_have_no_perplexity() {
    let ids = file("short.jsonl", "[]\n[5]\n");
    assert_eq!(
        stdout(&good(&["score", "--model", &path(&["S.base"]), "--ids-file", &ids])),
        "{\"logprobs\":[]}\n{\"logprobs\":[null]}\n"
    );
}

#[test]
fn what_is_no_number_is_an_error() {
    if let Some(case) = case("files/perplexity-skips-null") {
        let (model, texts) = (format!("{case}/model"), format!("{case}/texts.jsonl"));
        refuses(&["score", "--model", &model, "--data", &texts, "--json", "--device", "cpu"], 6, &["finite"]);
    }
    if let Some(case) = case("files/nan-weights-pass") {
        let (model, ids) = (format!("{case}/model"), format!("{case}/ids.jsonl"));
        refuses(&["score", "--model", &model, "--ids-file", &ids, "--device", "cpu"], 6, &["finite"]);
        for how in [&["--greedy"][..], &["--top-k", "3"], &["--top-p", "0.9"], &[]] {
            let generate = ["generate", "--model", &model, "--ids", "1,2,3", "--max-new", "5", "--device", "cpu"];
            refuses(&[&generate[..], how].concat(), 6, &["finite"]);
        }
    }
    if let Some(case) = case("attack/config-negative-eps") {
        for how in [["--top-k", "5"], ["--top-p", "0.9"]] {
            let output =
                rlhf(&[&["generate", "--model", &case, "--prompt", "hi", "--max-new", "1"], &how[..]].concat());
            assert!(matches!(output.status.code(), Some(5 | 6)), "{}", stderr(&output));
        }
    }
}

/// transformers' warpers leave 3 tokens: top-p counts what top-k left.
#[test]
fn top_p_counts_what_top_k_left() {
    let Some(model) = shared("data/weights/stories260K/hf") else { return };
    let how =
        ["--ids", "1", "--n", "1000", "--max-new", "1", "--temperature", "1.3", "--top-k", "5", "--top-p", "0.95"];
    let made = json(&[&["generate", "--model", model.to_str().unwrap(), "--seed", "7"], &how[..]].concat());
    let drawn = made["generations"].as_array().unwrap().iter().map(|g| g["ids"][0].as_u64().unwrap());
    assert_eq!(drawn.collect::<std::collections::BTreeSet<u64>>().len(), 3);
}

#[test]
fn more_tokens_than_the_context_are_a_usage_error() {
    let model = path(&["S.sft"]);
    for n in ["18446744073709551615", "1000000"] {
        let output = rlhf(&["generate", "--model", &model, "--prompt", "a", "--device", "cpu", "--max-new", n]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    }
    let output = rlhf(&["generate", "--model", &model, "--prompt", "a", "--device", "cpu", "--max-new", "300"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("ask for at most"), "{}", stderr(&output));
}

#[test]
fn a_conversation_that_is_not_utf8_is_a_data_error() {
    let args = ["chat", "--model", &path(&["S.sft"]), "--device", "cpu"];
    let mut chat = Command::new(env!("CARGO_BIN_EXE_rlhf"));
    let mut chat = chat.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all(b"h\xe9llo\n").unwrap();
    let output = chat.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 1 is not UTF-8 (byte 0xe9)"), "{}", stderr(&output));
}

#[test]
fn control_characters_of_files_are_shown() {
    for name in ["template-escape", "config-escape"] {
        let Some(case) = case(&format!("attack/{name}")) else { return };
        let output = rlhf(&["generate", "--model", &case, "--prompt", "hi", "--max-new", "1", "--device", "cpu"]);
        let text = stderr(&output);
        assert!(!output.status.success() && text.contains("\\u{1b}"), "{name}: {text}");
        assert!(!text.contains(['\x1b', '\x07']), "{name}: {text:?}");
    }
}

/// On a terminal, which `script` plays where it is there; into a pipe the text goes as it is.
#[test]
fn control_characters_of_answers_are_shown_on_a_terminal() {
    let Some(case) = case("attack/writes-escape") else { return };
    let args = ["generate", "--model", &case, "--prompt", "a", "--greedy", "--max-new", "4", "--device", "cpu", "-q"];
    assert!(stdout(&good(&args)).contains('\x1b'), "the case wants a model that writes ESC");
    let Some(text) = on_terminal(80, &args) else { return };
    assert!(text.contains("\\u{1b}") && !text.contains('\x1b'), "{text:?}");
}

fn learn(text: &str, out: &str, vocab: &str) -> String {
    let (text, out) = (file(&format!("{out}.txt"), text.repeat(40)), at(out));
    let shape = ["--layers", "1", "--channels", "16", "--heads", "2", "--context", "64", "--vocab", vocab];
    let little = ["--steps", "2", "--batch", "2", "--device", "cpu", "-q"];
    good(&[&["pretrain", "--data", &text, "--out", &out], &shape[..], &little[..]].concat());
    out
}

const PAIRS: &str = "{\"prompt\":\"a b\",\"chosen\":\" c\",\"rejected\":\" d e\"}\n\
                     {\"prompt\":\"a c\",\"chosen\":\" d\",\"rejected\":\" e\"}\n";

fn judge(model: &str, out: &str, more: &[&str]) -> String {
    let (pairs, out) = (file("answers_pairs.jsonl", PAIRS), at(out));
    let little = ["--holdout", "0", "--epochs", "1", "--batch", "2", "--device", "cpu", "-q"];
    good(&[&["rm", "--model", model, "--data", &pairs, "--out", &out], &little[..], more].concat());
    out
}

const FEW: [&str; 8] = ["--episodes", "4", "--batch", "4", "--minibatch", "2", "--max-new", "3"];

/// Qwen and Pythia have more rows of embedding than tokens: policy and judge of one base go together.
#[test]
fn a_padded_vocabulary_goes_through_ppo() {
    let Some(case) = case("files/ppo-padded-vocab") else { return };
    let (model, pairs, demos) = (format!("{case}/model"), format!("{case}/pairs.jsonl"), format!("{case}/demo.jsonl"));
    let (rm, ppo) = (at("padded_rm"), at("padded_ppo"));
    let little = ["--holdout", "0", "--epochs", "1", "--batch", "4", "-q"];
    good(&[&["rm", "--model", &model, "--data", &pairs, "--out", &rm], &little[..]].concat());
    good(&[&["ppo", "--model", &model, "--reward", &rm, "--data", &demos, "--out", &ppo, "-q"], &FEW[..]].concat());
    let answers = json(&["generate", "--model", &ppo, "--ids", "1,447", "--max-new", "3"]);
    assert!(answers["generations"][0]["ids"].is_array());
}

#[test]
fn a_judge_of_another_tokenizer_is_refused() {
    let (one, two) = (learn("the cat sat on a mat. ", "tok_one", "262"), learn("xyz wvu qqq zzz. ", "tok_two", "262"));
    let (rm, prompts) = (judge(&two, "tok_two_rm", &[]), file("tok_prompts.jsonl", "{\"prompt\":\"a b\"}\n"));
    let out = at("tok_ppo");
    let ppo = ["ppo", "--model", &one, "--reward", &rm, "--data", &prompts, "--out", &out, "--device", "cpu", "-q"];
    refuses(&[&ppo[..], &FEW].concat(), 2, &["tok_two_rm", "its tokenizer is not the policy's", "token 25"]);
    assert!(!Path::new(&out).exists(), "before anything runs");
    fs::remove_file(format!("{rm}/tokenizer.json")).unwrap();
    refuses(&[&ppo[..], &FEW].concat(), 6, &["tok_two_rm", "tokenizer"]);
}

#[test]
fn a_reward_model_goes_on_from_a_reward_model() {
    let model = learn("a b c d e. ", "goes_on", "264");
    let rm = judge(&model, "goes_on_rm", &["--lr", "0.01"]);
    let pairs = file("answers_pairs.jsonl", PAIRS);
    let rewards = |dir: &str| json(&["reward", "--model", dir, "--data", &pairs]);
    let same = judge(&rm, "goes_on_same", &["--lr", "1e-12"]);
    let adapter = judge(&rm, "goes_on_adapter", &["--lr", "1e-12", "--lora-rank", "2"]);
    for row in 0..2 {
        for answer in 0..2 {
            let was = rewards(&rm)["rows"][row]["rewards"][answer].as_f64().unwrap();
            near(&rewards(&same)["rows"][row]["rewards"][answer], was, 1e-5);
            near(&rewards(&adapter)["rows"][row]["rewards"][answer], was, 2e-2); // the frozen model is in bf16
        }
    }
    let fresh = rewards(&judge(&model, "goes_on_fresh", &["--lr", "1e-12", "--seed", "5"]));
    assert_ne!(fresh["rows"], rewards(&rm)["rows"]);
}

/// A reward model whose config pads with its end token was taught before the end, and transformers reads it there.
#[test]
fn a_reward_model_is_read_where_its_config_says() {
    let model = learn("a b c d e. ", "read_at", "264");
    let rm = judge(&model, "read_at_rm", &["--lr", "0.01"]);
    let pairs = file("answers_pairs.jsonl", PAIRS);
    let config = format!("{rm}/config.json");
    let reward = || json(&["reward", "--model", &rm, "--data", &pairs])["rows"][0]["rewards"][0].as_f64().unwrap();
    let mut said: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    let at_the_end = reward();
    said["pad_token_id"] = said["eos_token_id"].clone();
    fs::write(&config, said.to_string()).unwrap();
    let before = reward();
    assert_ne!(at_the_end, before);
    // and it stays so when it is trained further
    let on = judge(&rm, "read_at_on", &["--lr", "1e-12"]);
    near(&json(&["reward", "--model", &on, "--data", &pairs])["rows"][0]["rewards"][0], before, 1e-5);
}

#[test]
fn held_out_rankings_that_all_tie_have_no_accuracy() {
    let folder = scratch().join("ties");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("train.jsonl"), PAIRS).unwrap();
    let tie = "{\"prompt\":\"a\",\"completions\":[\" b\",\" c\"],\"ranks\":[1,1]}\n";
    fs::write(folder.join("valid.jsonl"), tie).unwrap();
    let (model, folder) = (learn("a b c d e. ", "ties_base", "264"), folder.to_str().unwrap().to_string());
    let rm = |out: &str, how: &[&str]| {
        let little = ["--epochs", "1", "--batch", "2", "-q"];
        let output =
            good(&[&["rm", "--model", &model, "--data", &folder, "--out", &at(out)], &little[..], how].concat());
        stdout(&output)
    };
    assert_eq!(rm("ties_rm", &[]), "accuracy unknown: all 1 held-out rankings are ties\n");
    assert_eq!(rm("ties_rm_json", &["--json"]), "{\"accuracy\":null}\n");
}

/// What `script` sees of a command on a terminal of so many columns; none where there is no `script`.
fn on_terminal(columns: usize, args: &[&str]) -> Option<String> {
    let command = [&[env!("CARGO_BIN_EXE_rlhf")], args].concat().join(" ");
    let command = format!("stty rows 24 cols {columns}; {command}");
    let typed = Command::new("script").args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).output().ok()?;
    Some(stdout(&typed))
}

#[test]
fn progress_is_no_wider_than_the_terminal() {
    let (model, out) = (learn("a b c d e. ", "narrow", "264"), at("narrow_sft"));
    let demos = file("narrow.jsonl", "{\"prompt\":\"a b\",\"completion\":\" c\"}\n".repeat(8));
    for columns in [20, 45, 80] {
        let out = format!("{out}_{columns}");
        let args = ["sft", "--model", &model, "--data", &demos, "--out", &out, "--batch", "1", "--device", "cpu", "-v"];
        let Some(text) = on_terminal(columns, &args) else { return };
        let drawn: Vec<&str> = text.split("\r\x1b[2K").skip(1).map(|line| line.lines().next().unwrap_or("")).collect();
        assert!(!drawn.is_empty(), "{text:?}");
        for line in drawn.iter().filter(|line| line.starts_with("sft   ")) {
            let plain = ["\x1b[32m", "\x1b[90m", "\x1b[0m"].iter().fold(line.to_string(), |l, c| l.replace(c, ""));
            assert!(plain.chars().count() < columns, "{columns} columns: {plain:?}");
        }
    }
}

/// A Llama of 1.3 thousand million numbers in f32 whose file is a hole: it takes no disk.
fn huge(name: &str, head: &str) -> String {
    let dir = scratch().join(name);
    fs::create_dir_all(&dir).unwrap();
    let (c, f, layers, v) = (2048u64, 8192u64, 16u64, 32000u64);
    let class = if head == "score.weight" { "LlamaForSequenceClassification" } else { "LlamaForCausalLM" };
    let config = serde_json::json!({
        "model_type": "llama", "architectures": [class], "hidden_size": c, "intermediate_size": f,
        "num_hidden_layers": layers, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": v,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "eos_token_id": 2,
        "num_labels": 1,
    });
    fs::write(dir.join("config.json"), config.to_string()).unwrap();
    let mut shapes = vec![("model.embed_tokens.weight".to_string(), vec![v, c]), ("model.norm.weight".into(), vec![c])];
    if head == "score.weight" {
        shapes.push((head.into(), vec![1, c]));
    }
    for layer in 0..layers {
        for part in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"] {
            shapes.push((format!("model.layers.{layer}.{part}.weight"), vec![c, c]));
        }
        for (part, shape) in [
            ("mlp.gate_proj", vec![f, c]),
            ("mlp.up_proj", vec![f, c]),
            ("mlp.down_proj", vec![c, f]),
            ("input_layernorm", vec![c]),
            ("post_attention_layernorm", vec![c]),
        ] {
            shapes.push((format!("model.layers.{layer}.{part}.weight"), shape));
        }
    }
    let (mut header, mut end) = (serde_json::Map::new(), 0);
    for (name, shape) in shapes {
        let bytes = 4 * shape.iter().product::<u64>();
        header.insert(name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [end, end + bytes]}));
        end += bytes;
    }
    let header = serde_json::Value::from(header).to_string();
    let header = format!("{header}{}", " ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut weights = fs::File::create(dir.join("model.safetensors")).unwrap();
    weights.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    weights.write_all(header.as_bytes()).unwrap();
    weights.set_len(8 + header.len() as u64 + end).unwrap();
    dir.to_str().unwrap().to_string()
}

/// With so many kilobytes of addresses.
fn limited(kilobytes: usize, args: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_rlhf");
    let command = format!("ulimit -v {kilobytes}; exec {program} {}", args.join(" "));
    Command::new("sh").args(["-c", &command]).stdin(Stdio::null()).output().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn what_does_not_fit_into_memory_is_refused_before_it_is_loaded() {
    let (model, judge) = (huge("huge", ""), huge("huge_judge", "score.weight"));
    let (ids, text) = (file("huge_ids.jsonl", "[1,2,3]\n"), file("huge.txt", "a b c ".repeat(50)));
    let (out, gguf) = (at("huge_out"), at("huge.gguf"));
    let cases: [&[&str]; 7] = [
        &["generate", "--model", &model, "--ids", "1,2", "--max-new", "1"],
        &["chat", "--model", &model],
        &["score", "--model", &model, "--ids-file", &ids],
        &["reward", "--model", &judge, "--data", &ids],
        &["convert", &model, &gguf, "--dtype", "f16"],
        &["sft", "--model", &model, "--data", &ids, "--out", &out],
        &["pretrain", "--data", &text, "--out", &out, "--layers", "48", "--channels", "8192", "--heads", "8"],
    ];
    for case in cases {
        let output = limited(4 << 20, &[case, &["--device", "cpu"]].concat());
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{case:?}: {text}");
        assert!(text.starts_with("error: memory: at most") && text.contains("GiB"), "{case:?}: {text}");
        assert!(!Path::new(&gguf).exists() && !Path::new(&out).join("checkpoints").exists());
    }
}

/// From the tables of the files alone, in a few megabytes.
#[test]
#[cfg(target_os = "linux")]
fn inspect_reads_no_numbers() {
    let output = limited(6 << 20, &["inspect", &huge("huge_inspected", ""), "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    near(&said["memory_bytes"]["weights"], 4.0 * said["parameters"].as_f64().unwrap(), 1e-2);
}

/// The comparisons of K answers are K(K−1)/2.
#[test]
#[cfg(target_os = "linux")]
fn comparisons_of_many_answers_are_counted() {
    let answers: Vec<String> = (0..1000).map(|i| format!("\" {i}\"")).collect();
    let ranks: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
    let row = format!("{{\"prompt\":\"a\",\"completions\":[{}],\"ranks\":[{}]}}\n", answers.join(","), ranks.join(","));
    let (model, rows, out) = (learn("a b c d e. ", "many", "264"), file("many.jsonl", row.repeat(40)), at("many_rm"));
    let args = ["rm", "--model", &model, "--data", &rows, "--out", &out, "--holdout", "0", "--device", "cpu"];
    let output = limited(1_000_000, &args);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("comparisons"), "{}", stderr(&output));
}
