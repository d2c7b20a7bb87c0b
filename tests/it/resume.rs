//! The binary stopped, killed and gone on with: the same things give the same bits, other things are refused; signals
//! save; one process works in a folder; output that cannot be written is an error.

use crate::cli::{file, path, refuses, rlhf, scratch, stderr, stdout};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Written once: another test may be reading it.
fn rows(name: &str, n: usize, answer: &str) -> String {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _writing = ONE_AT_A_TIME.lock();
    if scratch().join(name).exists() {
        return at(name);
    }
    let rows: String =
        (0..n).map(|i| format!("{{\"prompt\":\"Say {i}.\",\"completion\":\" {i}{answer}.\"}}\n")).collect();
    file(name, rows)
}

fn at(name: &str) -> String {
    scratch().join(name).to_str().unwrap().to_string()
}

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Until a checkpoint is there.
fn wait_for_checkpoint(out: &str) {
    let begun = Instant::now();
    let there = || {
        fs::read_dir(Path::new(out).join("checkpoints"))
            .is_ok_and(|mut d| d.any(|e| e.unwrap().file_name().to_string_lossy().starts_with("step-")))
    };
    while !there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no checkpoint in {out}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
fn send(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success());
}

const LONG: [&str; 8] =
    ["--epochs=2000", "--batch=4", "--save-every=20", "--threads=1", "--device", "cpu", "--lr=1e-3", "-q"];

/// A run that was stopped after its first checkpoint.
#[cfg(unix)]
fn stopped(out: &str, signal: &str, more: &[&str]) -> (Option<i32>, String) {
    let (model, data) = (path(&["S.base"]), rows("resume.jsonl", 16, ""));
    let child =
        start(&[&["sft", "--model", &model, "--data", &data, "--out", out, "--seed=7"], &LONG[..], more].concat());
    wait_for_checkpoint(out);
    send(&child, signal);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), stderr(&output))
}

fn copy(from: &str, to: &str) -> String {
    fn all(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() { all(&path, &to) } else { fs::copy(&path, &to).map(|_| ()).unwrap() }
        }
    }
    let to = at(to);
    all(Path::new(from), Path::new(&to));
    to
}

/// All files of a folder, to see that nothing was changed.
fn content(dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .map(|p| (p.clone(), fs::read(&p).unwrap()))
        .collect();
    found.sort();
    found
}

#[cfg(unix)]
#[test]
fn a_stopped_stage_goes_on_with_the_same_things_alone() {
    let out = at("resume one's run");
    let (code, said) = stopped(&out, "INT", &[]);
    assert_eq!(code, Some(130), "{said}");
    let quoted = format!("'--out={}'", out.replace('\'', "'\\''"));
    let line = said.lines().find_map(|l| l.strip_prefix("go on with: ")).expect(&said);
    assert_eq!(line, format!("rlhf sft --resume {quoted} --device=cpu --threads=1"));
    let recipe = fs::read_to_string(Path::new(&out).join("recipe.toml")).unwrap();
    assert!(recipe.contains("seed = 7"), "{recipe}");

    // other things are refused, each named, and nothing is changed
    let (model, data) = (path(&["S.base"]), at("resume.jsonl"));
    let other_data = rows("resume-other.jsonl", 16, "x");
    let other_model = copy(&model, "resume-other-model");
    let weights = Path::new(&other_model).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let before = content(&out);
    let again = ["sft", "--resume", "--out", &out, "--device", "cpu", "-q"];
    for (more, words) in [
        (vec!["--data", &other_data], vec!["resume-other.jsonl", "it was", "resume.jsonl"]),
        (vec!["--model", &other_model], vec!["model", "resume-other-model", "it was"]),
        (vec!["--epochs=5"], vec!["epochs = 5.0 (it was 2000.0)"]),
        (vec!["--lr=2e-3", "--batch=8"], vec!["lr = 0.002 (it was 0.001)", "batch = 8 (it was 4)"]),
        (vec!["--seed=8"], vec!["seed = 8 (it was 7)"]),
        (vec!["--set", "dropout=0.5"], vec!["dropout = 0.5 (it was 0.0)"]),
    ] {
        let words: Vec<&str> = words.into_iter().chain(["--force"]).collect();
        refuses(&[&again[..], &more].concat(), 2, &words);
        assert!(before == content(&out), "{more:?} changed something");
    }
    refuses(&["rm", "--resume", "--out", &out, "--device", "cpu"], 2, &["is of rlhf sft"]);
    assert!(before == content(&out));
    let simd = Command::new(env!("CARGO_BIN_EXE_rlhf")).args(again).env("RLHF_SIMD", "portable").output().unwrap();
    assert!(simd.status.code() == Some(2) && stderr(&simd).contains("SIMD level: portable"), "{}", stderr(&simd));

    // the same data from another place are the same data; and with --force anything goes, is told and recorded
    let forced = copy(&out, "resume-forced");
    let moved = at("resume-moved.jsonl");
    fs::copy(&data, &moved).unwrap();
    let short = ["sft", "--resume", "--force", "--epochs=1", "--device", "cpu", "--out", &forced, "--data", &moved];
    let output = rlhf(&short);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("epochs = 1.0 (it was 2000.0)"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("data:"), "{}", stderr(&output));
    assert!(fs::read_to_string(Path::new(&forced).join("recipe.toml")).unwrap().contains("epochs = 1.0"));
}

#[cfg(unix)]
#[test]
fn every_signal_saves_and_the_bits_are_those_of_a_run_that_was_left_alone() {
    let (model, data) = (path(&["S.base"]), rows("resume.jsonl", 16, ""));
    let whole = at("signal-none");
    let keys = ["--epochs=60", "--batch=4", "--save-every=20", "--threads=1", "--device", "cpu", "--lr=1e-3", "-q"];
    let first = ["sft", "--model", &model, "--data", &data, "--seed=7", "--out"];
    let output = rlhf(&[&first[..], &[&whole], &keys].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for signal in ["TERM", "HUP", "KILL"] {
        let out = at(&format!("signal-{signal}"));
        let child = start(&[&first[..], &[&out], &keys].concat());
        wait_for_checkpoint(&out);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        if signal != "KILL" && output.status.code() != Some(0) {
            assert_eq!(output.status.code(), Some(130), "{signal}: {}", stderr(&output));
            assert!(stderr(&output).contains("\ngo on with: rlhf sft --resume --out="), "{}", stderr(&output));
        }
        let again = rlhf(&["sft", "--resume", "--out", &out, "--device", "cpu", "-q"]);
        assert!(again.status.success(), "{}", stderr(&again));
        let weights = |dir: &str| fs::read(Path::new(dir).join("model.safetensors")).unwrap();
        assert!(weights(&whole) == weights(&out), "{signal}: other bits");
        assert!(!Path::new(&out).join("checkpoints").exists() && Path::new(&out).join("DONE.json").exists());
        let steps = fs::read_to_string(Path::new(&out).join("metrics.jsonl")).unwrap().lines().count();
        assert_eq!(steps, 240, "{signal}: each step is logged once");
    }
}

#[test]
fn nothing_to_resume_and_nothing_left_to_do_are_told() {
    let (model, data) = (path(&["S.base"]), rows("resume-short.jsonl", 8, ""));
    let (typo, empty) = (at("resume-typo"), at("resume-empty"));
    fs::create_dir_all(&empty).unwrap();
    for out in [&typo, &empty] {
        let args = ["sft", "--model", &model, "--data", &data, "--out", out, "--resume"];
        refuses(&args, 2, &["nothing to resume in", out]);
        refuses(&["run", "--resume", "--out", out], 2, &["nothing to resume in", out]);
        refuses(&["run", "mini", "--resume", "--out", out], 2, &["nothing to resume in", out]);
    }
    assert!(!Path::new(&typo).exists());
    let out = at("resume-done");
    let args = ["sft", "--model", &model, "--data", &data, "--out", &out, "--device", "cpu", "--epochs=1"];
    assert!(rlhf(&args).status.success());
    // a kill fell between the model and the clean-up
    fs::create_dir_all(Path::new(&out).join("checkpoints/step-000001")).unwrap();
    let before = content(&out);
    let output = rlhf(&["sft", "--resume", "--out", &out]);
    assert!(output.status.success() && stderr(&output).contains("is finished already"), "{}", stderr(&output));
    assert!(before == content(&out) && !Path::new(&out).join("checkpoints").exists());
    // what was asked for can be done again from what was written
    let twin = at("resume-twin");
    let recipe = format!("{out}/recipe.toml");
    let output = rlhf(&["sft", "--config", &recipe, "--out", &twin, "--device", "cpu", "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let weights = |dir: &str| fs::read(Path::new(dir).join("model.safetensors")).unwrap();
    assert!(weights(&out) == weights(&twin));
}

#[cfg(unix)]
#[test]
fn one_process_works_in_a_folder() {
    let (model, data, out) = (path(&["S.base"]), rows("resume.jsonl", 16, ""), at("resume-two"));
    let args = [&["sft", "--model", &model, "--data", &data, "--out", &out], &LONG[..]].concat();
    let child = start(&args);
    wait_for_checkpoint(&out);
    refuses(&["sft", "--resume", "--out", &out, "--device", "cpu"], 2, &["another process works in", &out]);
    send(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    let steps: Vec<serde_json::Value> = fs::read_to_string(Path::new(&out).join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(steps.iter().enumerate().all(|(i, line)| line["step"] == i + 1), "a line of the first one is gone");
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let model = path(&["S.base"]);
    let ids = file("resume-ids.jsonl", "[1, 2, 3]\n".repeat(20));
    let full = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
        let full = File::options().write(true).open("/dev/full").unwrap();
        command.args(args).stdin(Stdio::null()).stdout(full).output().unwrap()
    };
    let pairs = file("resume-pairs.jsonl", "{\"prompt\":\"a\",\"chosen\":\" b\",\"rejected\":\" c\"}\n");
    for args in [
        &["score", "--model", &model, "--ids-file", &ids, "--device", "cpu"][..],
        &["inspect", &model],
        &["generate", "--model", &model, "--prompt", "a", "--max-new", "3", "--device", "cpu"],
        &["generate", "--model", &model, "--prompt", "a", "--max-new", "3", "--device", "cpu", "--json"],
        &["reward", "--model", &path(&["rm"]), "--data", &pairs, "--device", "cpu"],
        &["recipes", "cat", "mini"],
        &["recipes", "ls"],
        &["devices"],
        &["--help"],
        &["sft", "--help"],
        &["--version"],
    ] {
        let output = full(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("cannot write to standard output: No space left"), "{}", stderr(&output));
        // a reader that has gone is nothing to complain of
        let mut child = Command::new(env!("CARGO_BIN_EXE_rlhf"));
        let mut child =
            child.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", stderr(&output));
    }
    // on stderr nothing that matters is lost: a full one, and one that nobody reads, stop no training
    let data = rows("resume-short.jsonl", 8, "");
    for (name, readable) in [("stderr-full", false), ("stderr-closed", true)] {
        let out = at(name);
        let args = ["sft", "--model", &model, "--data", &data, "--out", &out, "--device", "cpu", "-v"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_rlhf"));
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        let full = File::options().write(true).open("/dev/full").unwrap();
        command.stderr(if readable { Stdio::piped() } else { Stdio::from(full) });
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stderr.take());
        assert!(child.wait().unwrap().success(), "{name}");
        assert!(Path::new(&out).join("DONE.json").exists(), "{name}");
    }
    assert!(stdout(&rlhf(&["recipes", "cat", "mini"])).contains("[model.S]"));
}

#[test]
fn a_model_of_any_size_is_weighed_before_it_is_made() {
    let text = file("resume.txt", "The cat sat on the mat.\n".repeat(40));
    let out = at("giant");
    let args = ["pretrain", "--data", &text, "--out", &out, "--device", "cpu", "--heads=8", "--channels=8192"];
    refuses(&[&args[..], &["--layers=4800"]].concat(), 4, &["memory", "GiB"]);
    assert!(!Path::new(&out).exists());
}

/// A run with enough to rank and to evaluate that a signal falls there.
#[cfg(unix)]
#[test]
fn a_run_stops_in_rankings_and_in_the_evaluation_and_goes_on_there() {
    let out = at("stopped-run");
    let more = ["--set", "world.ranked_prompts=60", "--set", "world.eval_prompts=60"];
    let args = [&["run", "--set", "smoke=true", "--device", "cpu", "-q", "--out", &out][..], &more].concat();
    let wait_for = |what: &str| {
        let begun = Instant::now();
        while !Path::new(&out).join(what).exists() {
            assert!(begun.elapsed() < Duration::from_secs(100), "no {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let stop = |child: Child, stage: &str| {
        send(&child, "INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert!(stderr(&output).contains(stage), "{}", stderr(&output));
        let again = stderr(&output).lines().find_map(|l| l.strip_prefix("go on with: rlhf ").map(String::from));
        let again = again.expect("a command");
        assert_eq!(again, format!("run --resume --out={out} --device=cpu"));
        again
    };
    let child = start(&args);
    wait_for("rankings");
    let again = stop(child, "the rankings");
    assert!(!Path::new(&out).join("rankings/DONE.json").exists());
    let again: Vec<&str> = again.split(' ').collect();
    let child = start(&again);
    wait_for("L.ppo_ptx/DONE.json");
    stop(child, "the evaluation");
    assert!(!Path::new(&out).join("results.json").exists());
    let output = rlhf(&again);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(Path::new(&out).join("report.html").exists());

    // Finished: said at once. A stage that is gone is made again, to the same bits.
    let output = rlhf(&again);
    assert!(output.status.success() && stderr(&output).contains("is finished already"), "{}", stderr(&output));
    let weights = Path::new(&out).join("S.base/model.safetensors");
    let bits = fs::read(&weights).unwrap();
    fs::remove_file(&weights).unwrap();
    let output = rlhf(&again);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("S.base: something of it is gone"), "{}", stderr(&output));
    assert!(fs::read(&weights).unwrap() == bits);
}

#[test]
fn a_run_on_files_that_changed_is_not_gone_on_with_unless_forced() {
    let folder = scratch().join("run-files");
    fs::create_dir_all(&folder).unwrap();
    let ask = |i: usize| format!("{{\"prompt\":\"Say {i}.\\nAnswer:\",\"completion\":\" {i} it is.\"}}\n");
    let pair = |i: usize| format!("{{\"prompt\":\"Say {i}.\\nAnswer:\",\"chosen\":\" {i}.\",\"rejected\":\" no\"}}\n");
    let text = "The cat sat on the mat. The dog sat on the log.\n";
    fs::write(folder.join("text.txt"), text.repeat(200)).unwrap();
    fs::write(folder.join("demos.jsonl"), (0..40).map(ask).collect::<String>()).unwrap();
    fs::write(folder.join("pairs.jsonl"), (0..40).map(pair).collect::<String>()).unwrap();
    let recipe = format!(
        "name = \"files\"\nstages = [\"base\", \"sft\"]\n[data]\nsource = \"files\"\ndir = {:?}\ntext = [\"text.txt\"]\n\
         demonstrations = [\"demos.jsonl\"]\n[tokenizer]\nvocab = 300\n[model.S]\nlayers = 1\nchannels = 16\nheads = 2\n\
         context = 64\n[pretrain]\nsteps = 3\nbatch = 2\n[sft]\nepochs = 1\n[rm]\nfrom = \"sft\"\n[eval]\nprompts = 2\nmax_new = 4\n",
        folder.to_str().unwrap()
    );
    let (recipe, out) = (file("run-files.toml", recipe), at("run-files-out"));
    let output = rlhf(&["run", &recipe, "--out", &out, "--device", "cpu", "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    fs::write(folder.join("demos.jsonl"), (1..41).map(ask).collect::<String>()).unwrap();
    let again = ["run", "--resume", "--out", &out, "--device", "cpu"];
    refuses(&again, 2, &["data.demonstrations", "demos.jsonl has changed", "--force"]);
    refuses(
        &[&again[..], &["--set", "sft.epochs=2"]].concat(),
        2,
        &["another recipe", "sft.epochs = 2.0 (it was 1.0)"],
    );
    let output = rlhf(&[&again[..], &["--force"]].concat());
    assert!(output.status.success() && stderr(&output).contains("demos.jsonl has changed"), "{}", stderr(&output));
}
