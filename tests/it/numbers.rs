//! The binary on numbers that cannot be meant, and on training that diverges: refused with key, range and value; and
//! numbers that are not finite are never written.

use crate::cli::{file, path, refuses, rlhf, scratch, stderr};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

fn demonstrations() -> String {
    static WRITTEN: OnceLock<String> = OnceLock::new();
    WRITTEN.get_or_init(written).clone()
}

fn written() -> String {
    let rows: String = (0..16).map(|i| format!("{{\"prompt\":\"Say {i}.\",\"completion\":\" {i}.\"}}\n")).collect();
    file("numbers.jsonl", rows)
}

#[test]
fn a_flag_out_of_its_range_is_refused_with_range_and_value() {
    let (model, data, out) = (path(&["S.base"]), demonstrations(), scratch().join("out-of-range"));
    let out = out.to_str().unwrap();
    let stage = |verb: &'static str| vec![verb, "--model", &model, "--data", &data, "--out", out, "--device", "cpu"];
    for (verb, flag, range) in [
        ("sft", "--lr=nan", "above 0"),
        ("sft", "--lr=inf", "above 0"),
        ("sft", "--lr=0", "above 0"),
        ("sft", "--epochs=-1", "above 0"),
        ("sft", "--epochs=nan", "above 0"),
        ("sft", "--batch=0", "from 1"),
        ("sft", "--dropout=1", "from 0 to 0.99"),
        ("sft", "--pretrain-mix=1", "from 0 to 0.99"),
        ("sft", "--token-budget=0", "from 1"),
        ("sft", "--max-grad-norm=nan", "from 0"),
        ("sft", "--weight-decay=-1", "from 0"),
        ("sft", "--warmup=-1", "from 0"),
        ("sft", "--lora-rank=-1", "from 0"),
        ("sft", "--lora-alpha=nan", "above 0"),
        ("sft", "--context=99999999999", "from 0"),
        ("rm", "--holdout=1", "from 0 to 0.9"),
        ("rm", "--holdout=nan", "from 0 to 0.9"),
        ("ppo", "--clip=-1", "above 0"),
        ("ppo", "--clip=nan", "above 0"),
        ("ppo", "--value-clip=-1", "above 0"),
        ("ppo", "--value-clip=nan", "above 0"),
        ("ppo", "--minibatch=0", "from 1"),
        ("ppo", "--temperature=0", "above 0"),
        ("ppo", "--max-new=18446744073709551615", "from 1"),
        ("ppo", "--ema=1.5", "from 0"),
        ("pretrain", "--steps=0", "from 1"),
        ("pretrain", "--steps=2.5", "whole number from 1"),
        ("pretrain", "--layers=4611686018427387905", "from 1"),
        ("sft", "--seed=18446744073709551615", "0..=9223372036854775807"),
        ("sft", "--threads=0", "from 1"),
    ] {
        let value = flag.split_once('=').unwrap().1;
        refuses(&[&stage(verb)[..], &[flag]].concat(), 2, &[range, value, flag.split_once('=').unwrap().0]);
    }
    let uneven = [&stage("ppo")[..], &["--batch=10", "--minibatch=3"]].concat();
    refuses(&uneven, 2, &["--batch 10 is not a multiple of --minibatch 3"]);
    // the same from a file and from --set
    let set = |set: &'static str| [&stage("sft")[..], &["--set", set]].concat();
    refuses(&set("lr=nan"), 2, &["lr = NaN", "above 0"]);
    refuses(&set("batch=0"), 2, &["batch = 0", "from 1"]);
    let config = file("numbers.toml", "epochs = inf\n");
    refuses(&[&stage("sft")[..], &["--config", &config]].concat(), 2, &["epochs = inf", "above 0"]);
    refuses(&[&stage("sft")[..], &["--epochs=0.01", "-q"]].concat(), 2, &["epochs = 0.01", "16 rows"]);
    for (flag, range) in [
        ("--max-new=18446744073709551615", "from 1"),
        ("--max-new=0", "from 1"),
        ("--temperature=nan", "from 0"),
        ("--top-p=0", "above 0"),
        ("--top-p=1.1", "at most 1"),
        ("--top-k=-1", "from 0"),
        ("--n=0", "from 1"),
    ] {
        refuses(&["generate", "--model", &model, "--prompt", "a", flag], 2, &[range]);
    }
    refuses(&["recipes", "check", "mini", "--set", "sft.lr=nan"], 2, &["sft.lr = NaN", "above 0"]);
    refuses(&["run", "--set", "ppo.clip=-1", "--out", out], 2, &["ppo.clip = -1", "above 0"]);
    assert!(!Path::new(out).join("model.safetensors").exists());
}

/// What a stage left of numbers: model files and checkpoints.
fn left(out: &Path) -> Vec<String> {
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    let mut all = names(&out.join("checkpoints"));
    all.extend(names(out).into_iter().filter(|n| n.ends_with(".safetensors") || n == "config.json"));
    all.sort();
    all
}

#[test]
fn a_model_that_diverged_is_never_written() {
    let (model, data) = (path(&["S.base"]), demonstrations());
    // The first update ruins the numbers; in none of these is a later step there to notice, or the checkpoint comes first.
    for (i, more) in [
        &["--epochs=1", "--batch=64"][..],
        &["--epochs=1", "--batch=64", "--lora-rank=2"],
        &["--epochs=4", "--batch=4", "--save-every=1"],
        &["--epochs=1", "--batch=4", "--save-every=2"],
        &["--epochs=1", "--batch=8", "--grad-clip=0", "--weight-decay=100"],
    ]
    .iter()
    .enumerate()
    {
        let out = scratch().join(format!("ruined-{i}"));
        let args = ["sft", "--model", &model, "--data", &data, "--out", out.to_str().unwrap(), "--lr=1e30", "-q"];
        refuses(&[&args[..], &["--device", "cpu"], more].concat(), 5, &["diverged"]);
        assert_eq!(left(&out), [""; 0], "{more:?}");
    }
    let pairs: String =
        (0..8).map(|i| format!("{{\"prompt\":\"Say {i}.\",\"chosen\":\" {i}.\",\"rejected\":\" no\"}}\n")).collect();
    let pairs = file("numbers-pairs.jsonl", pairs);
    let out = scratch().join("ruined-rm");
    let args = ["rm", "--model", &model, "--data", &pairs, "--out", out.to_str().unwrap(), "--lr=1e30", "-q"];
    refuses(&[&args[..], &["--device", "cpu", "--batch=64"]].concat(), 5, &["diverged"]);
    assert_eq!(left(&out), [""; 0]);
    let out = scratch().join("ruined-ppo");
    let (reward, to) = (path(&["rm"]), out.to_str().unwrap());
    let args = ["ppo", "--model", &model, "--reward", &reward, "--data", &data, "--out", to, "--max-new=4", "-q"];
    let small = ["--episodes=4", "--batch=4", "--minibatch=4", "--device", "cpu"];
    for rate in ["--lr=1e30", "--value-lr=1e30"] {
        refuses(&[&args[..], &small, &[rate, "--warmup=0"]].concat(), 5, &["diverged"]);
        assert_eq!(left(&out), [""; 0]);
        assert!(!out.join("value").exists());
    }
}

#[test]
fn a_checkpoint_from_before_stays_when_training_diverges() {
    let (model, data, out) = (path(&["S.base"]), demonstrations(), scratch().join("ruined-late"));
    // Warm-up makes the first steps harmless: the rate is 1e30 · step / 10³⁰ at first, and its peak ruins all.
    let args = ["sft", "--model", &model, "--data", &data, "--out", out.to_str().unwrap(), "--batch=4", "--epochs=8"];
    let late = ["--lr=1e8", "--warmup=1000000000", "--save-every=1", "-q", "--device", "cpu"];
    let output = rlhf(&[&args[..], &late].concat());
    match output.status.code() {
        Some(5) => assert!(left(&out).iter().all(|name| name.starts_with("step-")), "{:?}", left(&out)),
        code => assert_eq!(code, Some(0), "{}", stderr(&output)),
    }
}

#[test]
fn a_schedule_that_cannot_be_meant_is_told() {
    let (model, data) = (path(&["S.base"]), demonstrations());
    let said = |name: &str, more: &[&str]| {
        let out = scratch().join(name);
        let args = ["sft", "--model", &model, "--data", &data, "--out", out.to_str().unwrap(), "--device", "cpu"];
        let output = rlhf(&[&args[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        stderr(&output)
    };
    let warm = said("told-warm", &["--epochs=1", "--batch=8", "--warmup=20"]);
    assert!(warm.contains("warmup = 20, but there are 2 steps in all"), "{warm}");
    let epochs = said("told-epochs", &["--epochs=3", "--batch=64"]);
    assert!(epochs.contains("1 steps for 3 epochs"), "{epochs}");
    let plain = said("told-nothing", &["--epochs=3", "--batch=8", "--warmup=2"]);
    assert!(!plain.contains("warmup") && !plain.contains("epochs:"), "{plain}");
}
