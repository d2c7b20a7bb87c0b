//! The binary as people and scripts meet it: good runs, bad input, and a kill at a bad moment.

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

pub fn rlhf(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1").output().expect("the binary starts")
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder that lasts as long as the test program.
pub fn scratch() -> &'static Path {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    DIR.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// A run of recipe mini's smoke profile, made once: its models are what the other tests try.
pub fn smoke() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = scratch().join("smoke");
        let output = rlhf(&["run", "--set", "smoke=true", "--device", "cpu", "-q", "--out", dir.to_str().unwrap()]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).is_empty(), "-q is quiet, but said: {}", stderr(&output));
        dir
    })
}

pub fn path(parts: &[&str]) -> String {
    parts.iter().fold(smoke().to_path_buf(), |p, part| p.join(part)).to_str().unwrap().to_string()
}

/// Writes a file for a test and gives its path.
pub fn file(name: &str, content: impl AsRef<[u8]>) -> String {
    let path = scratch().join(name);
    fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_string()
}

/// The command fails with this code and one paragraph that has all of these words.
#[track_caller]
pub fn refuses(args: &[&str], code: i32, words: &[&str]) {
    let output = rlhf(args);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?} said: {text}");
    let message = text.trim();
    assert!(message.starts_with("error: "), "{args:?} said: {text}");
    assert!(!message.contains('\n'), "{args:?} is not one paragraph: {text}");
    for word in words {
        assert!(message.contains(word), "{args:?}: no {word:?} in: {message}");
    }
}

#[test]
fn every_verb_has_help_with_an_example() {
    let help = stdout(&rlhf(&["--help"]));
    let verbs = [
        "run", "recipes", "pretrain", "sft", "rm", "ppo", "generate", "chat", "score", "reward", "merge", "inspect",
        "convert", "devices", "bench",
    ];
    for verb in verbs {
        assert!(help.contains(&format!("\n  {verb} ")), "--help lacks {verb}");
        let output = rlhf(&[verb, "--help"]);
        assert!(output.status.success());
        assert!(stdout(&output).contains("Example"), "{verb} --help has no example");
    }
}

#[test]
fn wrong_flags_and_recipes_are_usage_errors() {
    refuses(&["runn"], 2, &["runn", "'run'"]);
    refuses(&["run", "--sett", "x"], 2, &["--sett", "See rlhf run --help"]);
    refuses(&["run", "mnii"], 2, &["mnii", "Did you mean mini?"]);
    refuses(&["run", "--set", "sft.epohcs=3"], 2, &["epohcs", "did you mean `epochs`?"]);
    refuses(&["run", "--set", "sft.epochs=often"], 2, &["sft.epochs = often: it is a number"]);
    refuses(&["run", "nowhere.toml"], 2, &["nowhere.toml"]);
    let bad = file("bad.toml", "name = \"x\"\n\n[model.S]\nlayers = 2\nchanels = 4\n");
    refuses(&["recipes", "check", &bad], 2, &["bad.toml:5", "did you mean `channels`?"]);
    refuses(&["devices", "--device", "tpu"], 2, &["tpu", "auto, cpu, gpu or gpu:N"]);
    refuses(&["generate", "--model", "x"], 2, &["--prompt"]);
    refuses(&["sft", "--data", "x", "--out", "y"], 2, &["--model"]);
}

#[test]
fn recipes_are_listed_copied_and_checked() {
    assert!(stdout(&rlhf(&["recipes", "ls"])).contains("mini"));
    let copy = scratch().join("copy.toml");
    let copy = copy.to_str().unwrap();
    assert!(rlhf(&["recipes", "cp", "mini", copy]).status.success());
    assert_eq!(fs::read_to_string(copy).unwrap(), stdout(&rlhf(&["recipes", "cat", "mini"])));
    refuses(&["recipes", "cp", "mini", copy], 2, &["exists"]);
    let checked: Value = serde_json::from_slice(&rlhf(&["recipes", "check", copy, "--json"]).stdout).unwrap();
    assert!(checked["memory_bytes"].as_f64().unwrap() > 0.0 && checked["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn missing_and_broken_data_are_data_errors() {
    let (model, out) = (path(&["S.base"]), scratch().join("never"));
    let sft = |data: &str, words: &[&str]| {
        refuses(&["sft", "--model", &model, "--data", data, "--out", out.to_str().unwrap(), "-q"], 3, words);
    };
    sft("nowhere.jsonl", &["cannot read nowhere.jsonl"]);
    sft(&file("cut.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\",\"compl"), &["cut.jsonl", "2"]);
    sft(&file("odd.jsonl", "{\"question\":\"a\",\"answer\":\"b\"}\n"), &["odd.jsonl", "question"]);
    sft(&file("nothing.jsonl", ""), &["nothing.jsonl"]);
    sft(&file("latin.jsonl", b"{\"prompt\":\"caf\xe9\",\"completion\":\"b\"}\n"), &["latin.jsonl"]);
    refuses(&["inspect", "nowhere.jsonl"], 3, &["nowhere.jsonl"]);
}

#[test]
fn broken_models_are_model_errors() {
    let copy = scratch().join("broken");
    fs::create_dir_all(&copy).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(path(&["S.base", name]), copy.join(name)).unwrap();
    }
    let model = copy.to_str().unwrap();
    let generate = |words: &[&str]| refuses(&["generate", "--model", model, "--prompt", "a", "-q"], 6, words);
    assert!(rlhf(&["generate", "--model", model, "--prompt", "a", "-q"]).status.success());
    let weights = fs::read(copy.join("model.safetensors")).unwrap();
    fs::write(copy.join("model.safetensors"), &weights[..weights.len() - 100]).unwrap();
    generate(&["model.safetensors"]);
    fs::write(copy.join("model.safetensors"), &weights[..6]).unwrap();
    generate(&["model.safetensors"]);
    fs::write(copy.join("model.safetensors"), &weights).unwrap();
    fs::write(copy.join("config.json"), "{\"model_type\": \"mamba\"}").unwrap();
    generate(&["config.json", "mamba"]);
    fs::remove_file(copy.join("config.json")).unwrap();
    generate(&["config.json"]);
    refuses(&["generate", "--model", "nowhere", "--prompt", "a"], 6, &["nowhere"]);
    refuses(&["reward", "--model", &path(&["S.base"]), "--data", "x.jsonl"], 2, &["language model"]);
    refuses(&["generate", "--model", &path(&["rm"]), "--prompt", "a"], 2, &["reward model"]);
}

/// Out of one kind of file into the other and back, with the same answers; a GGUF file wherever a directory may be.
#[test]
fn models_are_converted() {
    let (model, dir) = (path(&["S.sft"]), scratch().join("converted"));
    fs::create_dir_all(&dir).unwrap();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_string();
    let convert = |from: &str, to: &str, dtype: &str| {
        let output = rlhf(&["convert", from, to, "--dtype", dtype, "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["bytes"].as_u64().unwrap()
    };
    let full = convert(&model, &at("full.gguf"), "f32");
    assert!(convert(&model, &at("half.gguf"), "bf16") < full * 6 / 10 + 100_000);
    convert(&model, &at("eighth.gguf"), "q8_0");
    convert(&at("full.gguf"), &at("back"), "f32");
    let says = |model: &str| {
        let output = rlhf(&["generate", "--model", model, "--prompt", "The", "--max-new", "12", "--greedy", "--json"]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    assert_eq!(says(&model), says(&at("full.gguf")));
    assert_eq!(says(&model), says(&at("back")));
    says(&at("eighth.gguf"));
    let inspected = |model: &str| {
        let mut said: Value = serde_json::from_slice(&rlhf(&["inspect", model, "--json"]).stdout).unwrap();
        let [weights, ..] = ["memory_bytes", "dtypes"].map(|key| said.as_object_mut().unwrap().remove(key).unwrap());
        (said, weights["weights"].as_u64().unwrap())
    };
    let [(whole, more), (half, less)] = [model.clone(), at("half.gguf")].map(|model| inspected(&model));
    assert!(whole == half && less < more, "numbers stay as wide as they are in the file");
    let ids = file("three.jsonl", "[1, 2, 3]\n");
    let score = |model: &str| stdout(&rlhf(&["score", "--model", model, "--ids-file", &ids]));
    assert!(score(&model).contains("null,-") && score(&model) == score(&at("full.gguf")));

    refuses(&["convert", &model, &at("full.gguf")], 2, &["full.gguf exists"]);
    refuses(&["convert", &model, &at("new"), "--dtype", "q8_0"], 2, &["only GGUF has it"]);
    refuses(&["convert", &model, &at("new"), "--dtype", "q4_k"], 2, &["f32, f16, bf16 or q8_0"]);
    refuses(&["convert", &path(&["rm"]), &at("rm.gguf")], 6, &["reward model"]);
    refuses(&["convert", "nowhere", &at("new")], 6, &["nowhere"]);
    let bytes = fs::read(at("full.gguf")).unwrap();
    let cut = file("cut.gguf", &bytes[..bytes.len() / 2]);
    refuses(&["generate", "--model", &cut, "--prompt", "a"], 6, &["cut.gguf", "does not fit"]);
    assert!(!Path::new(&at("new")).exists());
}

#[test]
fn a_model_of_the_hub_is_looked_for_in_the_cache() {
    let home = scratch().join("hf");
    let with_home = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
        command.args(args).stdin(Stdio::null()).env("HF_HOME", &home).env("HF_ENDPOINT", "http://127.0.0.1:9");
        command.env_remove("HF_HUB_CACHE").output().unwrap()
    };
    let generate = ["generate", "--model", "org/tiny", "--prompt", "The", "--max-new", "3", "--greedy", "--json"];
    let missing = with_home(&generate);
    assert_eq!(missing.status.code(), Some(6));
    assert!(stderr(&missing).contains("org/tiny is no folder or file"), "{}", stderr(&missing));
    let (folder, revision) = (home.join("hub/models--org--tiny"), "0123456789abcdef0123456789abcdef01234567");
    let snapshot = folder.join("snapshots").join(revision);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), revision).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(path(&["S.sft", name]), snapshot.join(name)).unwrap();
    }
    let found = with_home(&generate);
    assert!(found.status.success(), "{}", stderr(&found));
    let model = path(&["S.sft"]);
    let beside = rlhf(&["generate", "--model", &model, "--prompt", "The", "--max-new", "3", "--greedy", "--json"]);
    assert_eq!(found.stdout, beside.stdout);

    // an adapter that names its model as the hub does
    let adapter = scratch().join("hub_adapter");
    let demos = file("hub_demos.jsonl", "{\"prompt\": \"a cow\", \"completion\": \" eats grass\"}\n".repeat(4));
    let trained = with_home(
        &["sft", "--model", "org/tiny", "--data", &demos, "--out", adapter.to_str().unwrap()]
            .into_iter()
            .chain(["--lora-rank", "2", "--lr", "1e-2", "--device", "cpu"])
            .collect::<Vec<_>>(),
    );
    assert!(trained.status.success(), "{}", stderr(&trained));
    let answer = |adapter: &Path| {
        let adapter = adapter.to_str().unwrap();
        with_home(&["generate", "--model", adapter, "--prompt", "The", "--max-new", "3", "--greedy", "--json"])
    };
    let by_name = answer(&adapter);
    assert!(by_name.status.success(), "{}", stderr(&by_name));
    let config = adapter.join("adapter_config.json");
    let mut json: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    assert_eq!(json["base_model_name_or_path"], "org/tiny");
    json["base_model_name_or_path"] = snapshot.to_str().into();
    fs::write(&config, json.to_string()).unwrap();
    assert_eq!(by_name.stdout, answer(&adapter).stdout);
    json["base_model_name_or_path"] = "org/absent".into();
    fs::write(&config, json.to_string()).unwrap();
    assert!(stderr(&answer(&adapter)).contains("nor in Hugging Face's cache"));
}

#[test]
fn a_smoke_run_leaves_a_folder_that_explains_itself() {
    let results: Value = serde_json::from_str(&fs::read_to_string(path(&["results.json"])).unwrap()).unwrap();
    for key in ["recipe", "seed", "seconds", "device", "stages", "reward_model", "win_rate", "head_to_head"] {
        assert!(!results[key].is_null(), "results.json lacks {key}");
    }
    for key in ["heldout_accuracy", "unseen_labeler_accuracy", "labeler_agreement", "pairs"] {
        assert!(results["reward_model"][key].is_number(), "reward_model lacks {key}");
    }
    assert_eq!(results["win_rate"]["against"], "L.sft");
    for size in ["S", "L"] {
        for kind in ["base", "prompted", "sft", "ppo", "ppo_ptx"] {
            let model = format!("{size}.{kind}");
            for judge in ["gold", "labelers"] {
                let rate = &results["win_rate"][judge][&model];
                let [low, at, high] = ["low", "rate", "high"].map(|k| rate[k].as_f64().unwrap());
                assert!(0.0 <= low && low <= at && at <= high && high <= 1.0, "{model} {judge}: {rate}");
            }
            assert!(!results["truthful"][&model].is_null() && !results["rude"][&model].is_null());
            if kind != "prompted" {
                assert!(results["loss_on_pretraining_text"][&model].as_f64().unwrap() > 0.0);
                assert!(results["kl_to_reference"][&model].as_f64().unwrap().is_finite());
                assert!(Path::new(&path(&[&model, "model.safetensors"])).exists());
            }
        }
    }
    for pair in ["S.ppo_ptx>S.sft", "S.ppo_ptx>L.base", "S.ppo_ptx>L.prompted"] {
        assert!(results["head_to_head"][pair]["gold"]["rate"].is_number(), "{pair}");
        assert!(results["head_to_head"][pair]["labelers"]["low"].is_number(), "{pair}");
    }
    for file in ["recipe.toml", "environment.json", "metrics.jsonl", "samples.jsonl", "report.html"] {
        assert!(fs::metadata(path(&[file])).unwrap().len() > 0, "{file}");
    }
    let events = fs::read_dir(smoke())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with("events.out.tfevents."));
    assert!(events.count() > 0);
}

#[test]
fn the_report_is_built_again_from_the_folder() {
    let page = fs::read_to_string(path(&["report.html"])).unwrap();
    let output = rlhf(&["report", smoke().to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output).trim(), path(&["report.html"]));
    assert!(fs::read_to_string(path(&["report.html"])).unwrap() == page, "another page");
    let chat = page.split("<pre>rlhf chat --model ").nth(1).unwrap().split("</pre>").next().unwrap();
    assert_eq!(chat, path(&["L.ppo_ptx"]));
    refuses(&["report", scratch().to_str().unwrap()], 2, &["results.json", "finished run"]);
}

#[test]
fn a_finished_run_is_not_overwritten() {
    refuses(
        &["run", "--set", "smoke=true", "--out", smoke().to_str().unwrap()],
        2,
        &["finished run", "--resume", "--out"],
    );
    let other = ["run", "--set", "smoke=true", "--seed", "5", "--resume", "--out", smoke().to_str().unwrap()];
    refuses(&other, 2, &["another recipe", "seed = 5"]);
}

#[test]
fn generate_is_repeatable_and_says_what_it_drew() {
    let model = path(&["S.sft"]);
    let args =
        ["generate", "--model", &model, "--prompt", "The", "--max-new", "8", "--n", "2", "--seed", "3", "--json"];
    let (one, two) = (rlhf(&args), rlhf(&args));
    assert!(one.status.success(), "{}", stderr(&one));
    assert_eq!(one.stdout, two.stdout);
    let made: Value = serde_json::from_slice(&one.stdout).unwrap();
    let made = made["generations"].as_array().unwrap();
    assert_eq!(made.len(), 2);
    for g in made {
        let (ids, logprobs) = (g["ids"].as_array().unwrap(), g["logprobs"].as_array().unwrap());
        assert!(ids.len() == logprobs.len() && !ids.is_empty());
        assert!(logprobs.iter().all(|l| l.as_f64().unwrap() <= 0.0));
    }
}

#[test]
fn score_agrees_with_what_generate_drew() {
    let model = path(&["S.sft"]);
    let drawn =
        ["generate", &model, "--ids", "40,41,42", "--max-new", "6", "--temperature", "1", "--top-p", "1", "--json"];
    let output = rlhf(&drawn);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    let g = &made["generations"][0];
    let ids: Vec<u64> =
        [40, 41, 42].into_iter().chain(g["ids"].as_array().unwrap().iter().map(|i| i.as_u64().unwrap())).collect();
    let file = file("ids.jsonl", serde_json::to_string(&ids).unwrap() + "\n");
    let scored = rlhf(&["score", "--model", &model, "--ids-file", &file]);
    assert!(scored.status.success(), "{}", stderr(&scored));
    let line: Value = serde_json::from_str(stdout(&scored).trim()).unwrap();
    let logprobs = line["logprobs"].as_array().unwrap();
    assert!(logprobs[0].is_null() && logprobs.len() == ids.len());
    for (i, drawn) in g["logprobs"].as_array().unwrap().iter().enumerate() {
        let (a, b) = (drawn.as_f64().unwrap(), logprobs[3 + i].as_f64().unwrap());
        assert!((a - b).abs() < 1e-4, "token {i}: drawn at {a}, scored {b}");
    }
}

#[test]
fn the_stages_run_one_by_one() {
    let out = |name: &str| scratch().join(format!("stages-{name}")).to_str().unwrap().to_string();
    let demos: String =
        (0..12).map(|i| format!("{{\"prompt\":\"Say {i}.\\nAnswer:\",\"completion\":\" {i}.\"}}\n")).collect();
    let demos = file("demos.jsonl", demos);
    let text = file("text.txt", "The cat sat on the mat. The dog sat on the log.\n".repeat(60));
    let pairs: String = (0..12)
        .map(|i| format!("{{\"prompt\":\"Say {i}.\\nAnswer:\",\"chosen\":\" {i}.\",\"rejected\":\" no\"}}\n"))
        .collect();
    let pairs = file("pairs.jsonl", pairs);
    let run = |args: &[&str]| {
        let output = rlhf(&[args, &["-q", "--device", "cpu"]].concat());
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output
    };
    let toy = ["--layers", "1", "--channels", "16", "--heads", "2", "--context", "32", "--vocab", "300"];
    run(&[&["pretrain", "--data", &text, "--out", &out("base"), "--steps", "3", "--batch", "2"], &toy[..]].concat());
    run(&["sft", "--model", &out("base"), "--data", &demos, "--out", &out("sft"), "--epochs", "1", "--batch", "4"]);
    run(&["rm", "--model", &out("sft"), "--data", &pairs, "--out", &out("rm"), "--batch", "4"]);
    let ppo = [
        "ppo",
        "--model",
        &out("sft"),
        "--reward",
        &out("rm"),
        "--data",
        &demos,
        "--text",
        &text,
        "--out",
        &out("ppo"),
    ];
    run(&[&ppo[..], &["--episodes", "8", "--batch", "4", "--minibatch", "2", "--max_new", "4", "--ptx-coef", "1"]]
        .concat());
    let rewarded = run(&["reward", "--model", &out("rm"), "--data", &pairs, "--json"]);
    let rewarded: Value = serde_json::from_slice(&rewarded.stdout).unwrap();
    assert!(rewarded["accuracy"]["rate"].is_number(), "{rewarded}");
    assert!(stdout(&run(&["inspect", &out("ppo")])).contains("gpt2"));
    assert!(stdout(&run(&["inspect", &pairs])).contains("12"));
    refuses(&["sft", "--model", &out("base"), "--data", &demos, "--out", &out("sft")], 2, &["--resume"]);
    refuses(
        &["sft", "--model", &out("base"), "--data", &demos, "--out", &out("x"), "--set", "lrr=1"],
        2,
        &["lrr", "`lr`"],
    );
}

#[test]
fn diverging_is_its_own_exit_code() {
    let demos: String = (0..16).map(|i| format!("{{\"prompt\":\"Say {i}.\",\"completion\":\" {i}.\"}}\n")).collect();
    let demos = file("diverge.jsonl", demos);
    let out = scratch().join("diverged");
    let args = ["sft", "--model", &path(&["S.base"]), "--data", &demos, "--out", out.to_str().unwrap(), "--lr", "1e30"];
    refuses(&[&args[..], &["--batch", "2", "--epochs", "8", "-q", "--device", "cpu"]].concat(), 5, &["diverged"]);
}

#[test]
fn devices_and_bench_print_json() {
    let devices: Value = serde_json::from_slice(&rlhf(&["devices", "--json"]).stdout).unwrap();
    assert!(devices["cpu"]["threads"].as_u64().unwrap() > 0 && devices["auto"].is_string());
    let output = rlhf(&["bench", "sum_rows", "--device", "cpu", "--json"]);
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<&str> = rows.as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["roof_f32", "roof_bf16", "roof_copy", "sum_rows"]);
    for key in ["name", "device", "precision", "shape", "ms", "gflops", "gbs", "roof_fraction"] {
        assert!(rows[2].get(key).is_some(), "bench lacks {key}");
    }
}

/// The weights of every finished stage, by name.
fn weights(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).unwrap() {
        let file = entry.unwrap().path().join("model.safetensors");
        if file.exists() {
            found.push((
                file.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned(),
                fs::read(&file).unwrap(),
            ));
        }
    }
    found.sort();
    found
}

#[test]
fn killed_at_any_moment_and_resumed_ends_with_the_same_bits() {
    let dir = scratch().join("killed");
    let args = ["run", "--set", "smoke=true", "--device", "cpu", "-q", "--out", dir.to_str().unwrap()];
    // A run that was killed before its folder said what it is starts anew.
    let args = || [&args[..], if dir.join("recipe.toml").exists() { &["--resume"] } else { &[] }].concat();
    // Where the kills fall is left to the machine; what comes out must not depend on it.
    let jitter = u64::from(std::process::id() % 97);
    for delay in [150 + jitter, 400 + 3 * jitter, 700 + 2 * jitter, 1100 + jitter] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rlhf"))
            .args(args())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill(); // SIGKILL: nothing gets to clean up
        child.wait().unwrap();
    }
    let output = rlhf(&args());
    assert!(output.status.success(), "{}", stderr(&output));
    let (ours, theirs) = (weights(&dir), weights(smoke()));
    let names = |w: &[(String, Vec<u8>)]| w.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for ((name, a), (_, b)) in ours.iter().zip(&theirs) {
        assert!(a == b, "{name} differs from the uninterrupted run");
    }
    // Every step of every stage is logged once.
    let mut seen = std::collections::HashSet::new();
    for line in fs::read_to_string(dir.join("metrics.jsonl")).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(seen.insert((line["stage"].to_string(), line["step"].to_string())), "twice: {line}");
    }
}
