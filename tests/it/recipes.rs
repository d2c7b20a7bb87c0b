//! Recipes that start from models that are there, here from a GGUF file.

use crate::cli::{path, refuses, rlhf, scratch, stderr};
use serde_json::Value;
use std::fs;

fn results(run: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{run}/results.json")).unwrap()).unwrap()
}

#[test]
fn demonstrations_preferences_and_ppo_upon_a_model_of_yours() {
    let at = |name: &str| scratch().join(name).to_str().unwrap().to_string();
    let write = |name: &str, line: &dyn Fn(usize) -> String| {
        let file = scratch().join("recipes_data").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, (0..30).map(line).collect::<String>()).unwrap();
    };
    let ask = |i: usize| format!("[{{\"role\":\"user\",\"content\":\"Say {i}.\"}}]");
    let said = |text: &str| format!("[{{\"role\":\"assistant\",\"content\":\"{text}\"}}]");
    write("demonstrations/oasst-demos.jsonl", &|i| {
        format!("{{\"prompt\":{},\"completion\":{}}}\n", ask(i), said("A cow."))
    });
    write("preferences/hh-harmless.jsonl", &|i| {
        format!("{{\"prompt\":{},\"chosen\":{},\"rejected\":{}}}\n", ask(i), said("A cow."), said("No."))
    });
    let [model, sft, rm, ppo] = ["recipes.gguf", "recipes_sft", "recipes_rm", "recipes_ppo"].map(at);
    assert!(rlhf(&["convert", &path(&["S.base"]), &model]).status.success());

    let data = format!("data.dir={}", at("recipes_data"));
    let run = |name: &str, from: &str, out: &str, more: &[&str]| {
        let from = format!("model.smollm2.from={from}");
        let args = ["run", name, "--device", "cpu", "-q", "--out", out];
        let sets = ["--set", "smoke=true", "--set", &data, "--set", "data.limit=0", "--set", &from];
        let output = rlhf(&[&args[..], &sets, more].concat());
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        assert!(fs::metadata(format!("{out}/report.html")).is_ok());
        results(out)
    };
    let tuned = format!("{sft}/smollm2.sft");
    let found = run("smollm2-sft", &model, &sft, &["--set", "sft.epochs=4", "--set", "sft.lr=1e-2"]);
    let loss = |kind: &str| found["loss_on_demonstrations"][kind].as_f64().unwrap();
    assert!(loss("smollm2.sft") < loss("smollm2.base"), "{found}");
    assert!(found.get("reward_model").is_none() && fs::metadata(format!("{tuned}/adapter_config.json")).is_ok());

    let found = run("smollm2-rm", &tuned, &rm, &["--set", "rm.epochs=4", "--set", "rm.lr=1e-2"]);
    assert_eq!(found["reward_model"]["heldout_accuracy"], 1.0, "{found}");

    let judge = format!("rm.model={rm}/rm");
    let found = run("smollm2-ppo", &tuned, &ppo, &["--set", &judge]);
    assert!(found["kl_to_reference"]["smollm2.ppo"].is_number() && found["proxy_reward"]["smollm2.ppo"].is_number());
    assert!(fs::metadata(format!("{ppo}/smollm2.ppo/adapter_model.safetensors")).is_ok());

    refuses(&["run", "smollm2-sft", "--set", "stages=[\"stf\"]"], 2, &["\"stf\"", "ppo_ptx"]);
    refuses(&["run", "smollm2-ppo", "--set", "rm.model="], 2, &["reward model", "rm.model"]);
    refuses(&["run", "mini", "--set", "stages=[\"sft\"]"], 2, &["`from`"]);
}
