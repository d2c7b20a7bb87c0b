//! Models and adapters that people bring, as they were reported (../shared/cases/files): the numbers are those of
//! transformers, PEFT and llama.cpp.

use crate::cli::{refuses, rlhf, scratch, stderr, stdout};
use crate::support::{read_json, shared};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// All numbers in it, in order.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

/// What `rlhf score` says of a case's ids.
fn scores(model: &Path, case: &Path) -> Vec<f64> {
    let ids = case.join("ids.jsonl");
    let args = ["score", "--device", "cpu", "--model", model.to_str().unwrap(), "--ids-file", ids.to_str().unwrap()];
    let output = rlhf(&args);
    assert!(output.status.success(), "{}: {}", model.display(), stderr(&output));
    stdout(&output)
        .lines()
        .flat_map(|line| numbers(&serde_json::from_str::<Value>(line).unwrap()["logprobs"]))
        .collect()
}

#[track_caller]
fn close(found: &[f64], case: &Path) {
    let json = read_json(&case.join("expect.json"));
    let expected = numbers(json.get("logprobs").unwrap_or(&json));
    assert_eq!(found.len(), expected.len(), "{}", case.display());
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-5, "{}: {a} is not {b}", case.display());
    }
}

#[test]
fn models_and_adapters_of_others_compute_what_they_computed() {
    let cases = [
        ("config-bos-minus-one", "model"),
        ("config-pad-minus-one", "model"),
        ("config-distilgpt2", "model"),
        ("config-dolly", "model"),
        ("config-gpt2-medium", "model"),
        ("config-neox-20b", "model"),
        ("gguf-padding-id-beyond", "model.gguf"),
        ("gguf-padding-id-none", "model.gguf"),
        ("gguf-pre-default", "model.gguf"),
        ("gguf-rope_freqs", "model.gguf"),
        ("gguf-tensor_data_layout", "model.gguf"),
        ("peft-exclude_modules", "adapter"),
        ("peft-layers_to_transform", "adapter"),
        ("tied-but-own-lm_head", "model"),
        ("tied-but-own-lm_head-gpt2", "model"),
        ("tied-only-lm_head", "model"),
    ];
    for (name, model) in cases {
        let Some(case) = shared(&format!("cases/files/{name}")) else { return };
        close(&scores(&case.join(model), &case), &case);
    }
}

/// What is converted or merged computes the same as before.
#[test]
fn nothing_is_lost_on_the_way_to_another_file() {
    for (name, model) in [
        ("tied-but-own-lm_head", "model"),
        ("tied-but-own-lm_head-gpt2", "model"),
        ("tied-only-lm_head", "model"),
        ("gguf-rope_freqs", "model.gguf"),
    ] {
        let Some(case) = shared(&format!("cases/files/{name}")) else { return };
        let from = case.join(model);
        let [gguf, dir] = ["gguf", "dir"].map(|end| scratch().join(format!("converted/{name}.{end}")));
        for (from, to) in [(&from, &dir), (&dir, &gguf)] {
            let output = rlhf(&["convert", from.to_str().unwrap(), to.to_str().unwrap(), "-q"]);
            assert!(output.status.success(), "{}", stderr(&output));
            close(&scores(to, &case), &case);
        }
    }
    let Some(case) = shared("cases/files/merge-rounds-base") else { return };
    let whole = scratch().join("whole");
    let adapter = case.join("adapter");
    let output = rlhf(&["merge", "--model", adapter.to_str().unwrap(), "--out", whole.to_str().unwrap(), "-q"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for model in [&whole, &adapter] {
        close(&scores(model, &case), &case);
    }
}

#[test]
fn a_reward_adapter_of_peft_gives_its_rewards() {
    let Some(case) = shared("cases/files/peft-reward-adapter") else { return };
    let [adapter, data] = ["adapter", "answers.jsonl"].map(|name| case.join(name).to_str().unwrap().to_string());
    let output = rlhf(&["reward", "--model", &adapter, "--data", &data, "--device", "cpu", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let rewards: Vec<f64> = json["rows"].as_array().unwrap().iter().flat_map(|row| numbers(&row["rewards"])).collect();
    for (found, expected) in rewards.iter().zip([-0.131_346_479_058_265_69, -0.069_155_089_557_170_87]) {
        assert!((found - expected).abs() < 1e-5, "{rewards:?}");
    }
    assert_eq!(rewards.len(), 2);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let Some(cases) = shared("cases/files") else { return };
    let at = |path: &str| cases.join(path).to_str().unwrap().to_string();
    let to = |name: &str| scratch().join(name).to_str().unwrap().to_string();
    refuses(&["inspect", &at("messages/q3_k.gguf")], 6, &["blk.0.ffn_up.weight", "Q3_K", "Q4_K_M", "llama-quantize"]);
    refuses(&["inspect", &at("messages/fp8")], 6, &["F8_E4M3", "FP8"]);
    refuses(&["inspect", &at("messages/bin_adapter")], 6, &["adapter_model.bin", "safetensors", "never read"]);
    let nan = at("nan-weights-pass/model");
    let name = "model.layers.0.self_attn.q_proj.weight";
    refuses(&["generate", "--model", &nan, "--ids", "1,2,3", "--device", "cpu"], 6, &[name, "NaN"]);
    refuses(&["convert", &nan, &to("nan.gguf")], 6, &[name, "NaN"]);
    let large = at("convert-f16-overflows/model");
    for (name, dtype) in [("half", "f16"), ("half.gguf", "f16"), ("eighth.gguf", "q8_0")] {
        refuses(&["convert", &large, &to(name), "--dtype", dtype], 6, &["mlp.down_proj.weight", "99840", "bf16"]);
        assert!(!Path::new(&to(name)).exists());
    }
    for name in ["new/folder/m.gguf", "M.GGUF"] {
        assert!(rlhf(&["convert", &at("messages/model"), &to(name), "-q"]).status.success());
        assert!(Path::new(&to(name)).is_file());
    }
    let command = || Command::new(env!("CARGO_BIN_EXE_rlhf")).arg("devices").env("RLHF_SIMD", "avx1024").output();
    let output = command().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: RLHF_SIMD=avx1024") && stderr(&output).trim().lines().count() == 1);
}

#[test]
fn files_of_strangers_are_refused_before_they_cost_anything() {
    let Some(cases) = shared("cases/attack") else { return };
    let at = |path: &str| cases.join(path).to_str().unwrap().to_string();
    for (name, words) in [
        ("adapter-r-1e+06", ["shape", "1000000"]),
        ("adapter-r-1e+09", ["shape", "1000000000"]),
        ("adapter-loop", ["base_model_name_or_path", "adapter-loop"]),
        ("config-duplicate-key", ["rms_norm_eps", "twice"]),
        ("config-layers-100000", ["100000 layers", "tensors"]),
        ("config-negative-eps", ["epsilon", "-1"]),
    ] {
        refuses(&["inspect", &at(name)], 6, &words);
    }
}
