//! The binary on data files, folders, tokenizers and chat templates: good and bad.

use kernels::{Device, Rng};
use model::{Config, HeadKind, Model, Tokenizer};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn rlhf(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
    command.args(args).args(["--device", "cpu"]).stdin(Stdio::null()).env("NO_COLOR", "1").output().unwrap()
}

#[track_caller]
fn runs(args: &[&str]) -> String {
    let output = rlhf(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The command fails with this code and one paragraph that has all of these words.
#[track_caller]
fn refuses(args: &[&str], code: i32, words: &[&str]) {
    let output = rlhf(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?} said: {text}");
    assert!(text.starts_with("error: ") && !text.trim().contains('\n'), "{args:?} is not one paragraph: {text}");
    for word in words {
        assert!(text.contains(word), "{args:?}: no {word:?} in: {text}");
    }
}

/// A folder with a model in `model`, which brings this template.
fn scratch(template: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    fs::create_dir(&model).unwrap();
    let tokenizer = Tokenizer::train(["no merges"], 259, &["<|endoftext|>", "<|im_start|>", "<|im_end|>"]);
    let config = Config { eos_ids: vec![tokenizer.eos()], ..Config::gpt2(259, 128, 1, 16, 2) };
    let fresh = Model::new(&config, HeadKind::Lm, Rng::new(1), &Device::Cpu);
    tokenizer.save(&model).unwrap();
    model::save(&model, &fresh, Some(&tokenizer.to_json())).unwrap();
    fs::write(model.join("chat_template.jinja"), template).unwrap();
    dir
}

fn write(dir: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_string()
}

fn conversation(question: &str, answer: &str) -> Value {
    json!({"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]})
}

#[test]
fn inspect_shows_what_a_chat_model_is_trained_on() {
    let dir = scratch(CHATML);
    let (dir, model) = (dir.path(), dir.path().join("model"));
    let model = model.to_str().unwrap();
    let rows = [conversation("Hi <|im_end|>", "Hello"), conversation("a", &"b".repeat(200))];
    let data = write(dir, "chat.json", serde_json::to_string_pretty(&rows).unwrap());
    let text = runs(&["inspect", &data, "--model", model]);
    assert!(text.contains("<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n"), "{text}");
    assert!(text.contains("1 rows contain <|im_end|>; it is text there"), "{text}");
    assert!(text.contains("1 of 2 sequences have no end token that is trained"), "{text}");
    assert!(text.contains("1 completions lost their end"), "{text}");
    assert!(text.contains("█") && !text.contains('\x1b'), "{text}");
    let json: Value = serde_json::from_str(&runs(&["inspect", &data, "--model", model, "--json"])).unwrap();
    assert_eq!(json["trained"]["cuts"]["completions"], 1);
    let ids: Vec<u64> = json["sequences"][0]["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(ids.iter().filter(|&&id| id == 258).count(), 2, "the <|im_end|> that a user wrote is text: {ids:?}");
    let shorter: Value =
        serde_json::from_str(&runs(&["inspect", &data, "--model", model, "--context", "30", "--json"])).unwrap();
    assert_eq!(shorter["trained"]["cuts"]["completions"], 2);
    refuses(&["inspect", &data, "--model", model, "--context", "4000"], 2, &["2 to 128"]);
}

#[test]
fn every_stage_takes_conversations_and_keeps_the_template() {
    let dir = scratch(CHATML);
    let dir = dir.path();
    let model = dir.join("model").to_str().unwrap().to_string();
    let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let row = |i: usize| conversation(&format!("question {i}"), "yes");
    write(dir, "demos/train.jsonl", lines(&[row(1), row(2)]));
    write(dir, "demos/valid.jsonl", lines(&[row(3)]));
    let demos = dir.join("demos").to_str().unwrap().to_string();
    let more = write(dir, "more.json", serde_json::to_string(&[row(4)]).unwrap());
    let user = |text: &str| json!([{"role": "user", "content": text}]);
    let assistant = |text: &str| json!([{"role": "assistant", "content": text}]);
    let pair =
        |i: usize| json!({"prompt": user(&format!("q{i}")), "chosen": assistant("yes"), "rejected": assistant("no")});
    let pairs = write(dir, "pairs.jsonl", lines(&(0..6).map(pair).collect::<Vec<_>>()));
    let out = |name: &str| dir.join(name).to_str().unwrap().to_string();
    let (sft, rm, ppo) = (out("sft"), out("rm"), out("ppo"));
    runs(&["sft", "--model", &model, "--data", &demos, &format!("{more}=2"), "--out", &sft, "--epochs", "1", "-q"]);
    let cut = ["sft", "--model", &model, "--data", &demos, "--out", &out("cut"), "--epochs", "1", "--context"];
    refuses(&[&cut[..], &["4000"]].concat(), 2, &["2 to 128"]);
    runs(&[&cut[..], &["35"]].concat());
    let log: Value = serde_json::from_str(&fs::read_to_string(dir.join("cut/metrics.jsonl")).unwrap()).unwrap();
    let tokens = log["num_tokens"].as_f64().unwrap();
    assert!((60.0..=70.0).contains(&tokens), "2 rows of {tokens} tokens");
    runs(&["rm", "--model", &sft, "--data", &pairs, "--out", &rm, "--epochs", "1", "-q"]);
    let args = ["--episodes", "8", "--batch", "8", "--max-new", "4", "-q"];
    runs(&[&["ppo", "--model", &sft, "--reward", &rm, "--data", &demos, "--out", &ppo][..], &args].concat());
    for made in [&sft, &rm, &ppo] {
        assert_eq!(fs::read_to_string(Path::new(made).join("chat_template.jinja")).unwrap(), CHATML);
    }
    let rewards = runs(&["reward", "--model", &rm, "--data", &pairs, "--json"]);
    let rewards: Value = serde_json::from_str(&rewards).unwrap();
    assert!(rewards["rows"][0]["prompt"].as_str().unwrap().ends_with("<|im_start|>assistant\n"), "{rewards}");
    let made = runs(&["generate", "--model", &sft, "--prompt", "Hi", "--chat", "--max-new", "3", "--json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let prompt = made["generations"][0]["prompt"].as_str().unwrap();
    assert_eq!(prompt, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    runs(&["score", "--model", &sft, "--data", &pairs, "--json"]);
    // a folder's own valid file is what is held out: nothing of train is
    assert!(runs(&["inspect", &demos]).contains("valid.jsonl"));
}

#[test]
fn bad_templates_and_rows_are_refused() {
    let dir = scratch(CHATML);
    let (dir, model) = (dir.path(), dir.path().join("model"));
    let data = write(dir, "a.jsonl", conversation("q", "a").to_string());
    let template = |text: &str, code: i32, words: &[&str]| {
        fs::write(model.join("chat_template.jinja"), text).unwrap();
        refuses(&["inspect", &data, "--model", model.to_str().unwrap()], code, words);
    };
    template("{% for %}", 6, &["chat_template.jinja", "line 1"]);
    template("{{ raise_exception('no users') }}", 6, &["chat_template.jinja", "no users"]);
    template("the same for everybody", 6, &["does not write what the assistant says"]);
    let picky = "{% if messages[0].content == 'q' %}{{ raise_exception('not q') }}{% endif %}".to_string() + CHATML;
    template(&picky, 3, &["not q"]);
    let forever = "{% for i in range(99999) %}{% for i in range(99999) %}{% endfor %}{% endfor %}".to_string() + CHATML;
    template(&forever, 6, &["chat_template.jinja", "too much"]);
}

#[test]
fn bad_tokenizers_are_refused() {
    let dir = scratch(CHATML);
    let (dir, model) = (dir.path(), dir.path().join("model"));
    let data = write(dir, "a.jsonl", conversation("q", "a").to_string());
    let good: Value = serde_json::from_str(&fs::read_to_string(model.join("tokenizer.json")).unwrap()).unwrap();
    let with = |pointer: &str, value: Value, words: &[&str]| {
        let mut file = good.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        fs::write(model.join("tokenizer.json"), file.to_string()).unwrap();
        refuses(&["inspect", &data, "--model", model.to_str().unwrap()], 6, &[&["tokenizer.json"], words].concat());
    };
    with("/model/type", json!("Reversed"), &[]);
    with("/normalizer", json!({"type": "Reversed"}), &[]);
    with(
        "/pre_tokenizer",
        json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
        &[],
    );
    fs::write(model.join("tokenizer.json"), good.to_string()).unwrap();
    fs::write(model.join("tokenizer_config.json"), "{").unwrap();
    refuses(&["inspect", &data, "--model", model.to_str().unwrap()], 6, &["tokenizer_config.json"]);
}

#[test]
fn bad_data_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let inspect = |name: &str, content: &[u8], words: &[&str]| {
        let file = write(dir, name, content);
        refuses(&["inspect", &file], 3, &[&[name], words].concat());
    };
    inspect("cut.json", b"[{\"text\":\"a\"},\n{\"text\":", &["cut.json:2"]);
    inspect("more.json", b"[{\"text\":\"a\"}]\n]", &["more.json:2", "after the list"]);
    inspect("odd.json", b"[{\"text\":\"a\"},\n{\"q\":1}]", &["odd.json:2", "{q}", "{prompt, chosen, rejected}"]);
    inspect(
        "mixed.jsonl",
        br#"{"prompt":"a","completion":[{"role":"assistant","content":"b"}]}"#,
        &["mixed.jsonl:1", "same form"],
    );
    inspect("pirate.jsonl", br#"{"messages":[{"role":"pirate","content":"b"}]}"#, &["pirate.jsonl:1", "pirate"]);
    inspect("a.parquet", b"PAR1 and no more", &["a.parquet"]);
    inspect("a.zip", b"PK", &[".jsonl", ".json"]);
    let empty = dir.join("empty");
    fs::create_dir(&empty).unwrap();
    let sft = |data: &str, words: &[&str]| {
        let model = scratch(CHATML);
        let (model, out) = (model.path().join("model"), dir.join("out"));
        let args = ["sft", "--model", model.to_str().unwrap(), "--data", data, "--out", out.to_str().unwrap(), "-q"];
        refuses(&args, 3, words);
    };
    sft(empty.to_str().unwrap(), &["empty", "train.jsonl"]);
    sft(&format!("{}=lots", write(dir, "b.jsonl", "{\"text\":\"a\"}")), &["b.jsonl", "lots", "0 to 1000"]);
    sft(&write(dir, "c.jsonl", "{\"text\":\"a\"}"), &["no demonstrations", "{messages}"]);
}
