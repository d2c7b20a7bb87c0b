//! What stages write beside the weights, through the binary: end tokens, padding, settings and files of the model that
//! they started from. scripts/check_saved.py asks transformers about the same.

use crate::cli::{refuses, rlhf, stderr, stdout};
use crate::support::{read_json, shared};
use kernels::{Device, Rng};
use model::{Config, HeadKind, Model, Tokenizer};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const CONTROLS: [&str; 4] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>"];
const END_OF_TEXT: u32 = 256;
const IM_END: u32 = 258;
const PAD: u32 = 259;

/// A base model with a template whose turns end with another token than its texts.
fn base(dir: &Path, tokens: Value, generation: Value) -> PathBuf {
    let model = dir.join("base");
    fs::create_dir(&model).unwrap();
    let tokenizer = Tokenizer::train(["no merges"], 260, &CONTROLS);
    let pad = tokens["pad_token"].as_str().and_then(|name| tokenizer.added_token(name));
    let config = Config { eos_ids: vec![END_OF_TEXT], pad, ..Config::llama(260, 128, 1, 16, 2, 1) };
    let fresh = Model::new(&config, HeadKind::Lm, Rng::new(1), &Device::Cpu);
    model::save(&model, &fresh, Some(&tokenizer.to_json())).unwrap();
    fs::write(model.join("chat_template.jinja"), CHATML).unwrap();
    fs::write(model.join("tokenizer_config.json"), tokens.to_string()).unwrap();
    fs::write(model.join("generation_config.json"), generation.to_string()).unwrap();
    model
}

#[track_caller]
fn run(args: &[&str]) -> String {
    let output = rlhf(args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

fn rows(dir: &Path) -> [String; 2] {
    let said = |role: &str, text: &str| json!({"role": role, "content": text});
    let demo = json!({"messages": [said("user", "Say 1"), said("assistant", "1")]});
    let pair = json!({"prompt": [said("user", "Say 1")], "chosen": [said("assistant", "1")], "rejected": [said("assistant", "No.")]});
    [("demos.jsonl", demo), ("pairs.jsonl", pair)].map(|(name, row)| {
        let path = dir.join(name);
        fs::write(&path, format!("{row}\n{row}\n")).unwrap();
        path.to_str().unwrap().to_string()
    })
}

/// Runs sft and rm, whole and as adapters, merge, and GGUF and back.
fn stages(dir: &Path, model: &Path) -> impl Fn(&str) -> PathBuf + use<> {
    let [demos, pairs] = rows(dir);
    let at = |name: &str| dir.join(name).to_str().unwrap().to_string();
    let model = model.to_str().unwrap();
    let learn = ["--epochs", "1", "--batch", "2", "--device", "cpu", "--threads", "1", "-q"];
    for (verb, data, out, more) in [
        ("sft", &demos, "sft", &[][..]),
        ("rm", &pairs, "rm", &["--holdout", "0"]),
        ("sft", &demos, "sft-lora", &["--lora-rank", "2"]),
        ("rm", &pairs, "rm-lora", &["--holdout", "0", "--lora-rank", "2"]),
    ] {
        run(&[&[verb, "--model", model, "--data", data, "--out", &at(out)], more, &learn].concat());
    }
    run(&["merge", "--model", &at("sft-lora"), "--out", &at("merged"), "-q"]);
    run(&["merge", "--model", &at("rm-lora"), "--out", &at("merged-rm"), "-q"]);
    run(&["convert", &at("sft"), &at("sft.gguf"), "-q"]);
    run(&["convert", &at("sft.gguf"), &at("back"), "-q"]);
    let dir = dir.to_path_buf();
    move |name| dir.join(name)
}

#[test]
fn everything_beside_the_weights_is_kept_and_all_ends_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "bos_token": "<|im_start|>",
        "pad_token": "<pad>", "add_bos_token": false, "model_max_length": 77, "padding_side": "left",
        "extra_special_tokens": ["<|im_start|>"], "somebody_elses": {"a": 1},
    });
    let generation = json!({"eos_token_id": END_OF_TEXT, "temperature": 0.6, "do_sample": true, "pad_token_id": PAD});
    let at = stages(dir.path(), &base(dir.path(), tokens.clone(), generation));
    for name in ["sft", "rm", "sft-lora", "rm-lora", "merged", "merged-rm", "back"] {
        assert_eq!(read_json(&at(name).join("tokenizer_config.json")), tokens, "{name}");
        let said = read_json(&at(name).join("generation_config.json"));
        assert_eq!(said["eos_token_id"], json!([END_OF_TEXT, IM_END]), "{name}");
        assert_eq!(
            (&said["temperature"], &said["do_sample"], &said["pad_token_id"]),
            (&json!(0.6), &json!(true), &json!(PAD))
        );
        assert_eq!(fs::read_to_string(at(name).join("chat_template.jinja")).unwrap(), CHATML, "{name}");
        if !name.contains("lora") {
            let config = read_json(&at(name).join("config.json"));
            assert_eq!(config["eos_token_id"], json!([END_OF_TEXT, IM_END]), "{name}");
            assert_eq!(config["pad_token_id"], json!(PAD), "{name}");
        }
    }
    // an adapter says how PEFT computes the same
    let readme = |name: &str| fs::read_to_string(at(name).join("README.md")).unwrap();
    assert!(readme("rm-lora").contains("model.config.pad_token_id = 259"), "{}", readme("rm-lora"));
    assert!(readme("sft-lora").contains("[256, 258]"), "{}", readme("sft-lora"));
}

/// `transformers` reads a score before the last padding: no reward model may pad with what answers end with.
#[test]
fn a_reward_model_never_pads_with_an_end_of_answers() {
    for (pad, controls_end, expected) in [
        ("<|im_end|>", "<|im_end|>", Some(PAD)), // the end of a turn; another token is called so
        ("<|endoftext|>", "<|endoftext|>", Some(PAD)), // the end of a text
        ("<pad>", "<|endoftext|>", Some(PAD)),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let tokens = json!({"eos_token": controls_end, "pad_token": pad});
        let at = stages(dir.path(), &base(dir.path(), tokens, json!({"eos_token_id": END_OF_TEXT})));
        for name in ["rm", "merged-rm"] {
            assert_eq!(read_json(&at(name).join("config.json"))["pad_token_id"], json!(expected), "{pad}: {name}");
        }
        for name in ["rm", "merged-rm", "rm-lora"] {
            assert_eq!(
                read_json(&at(name).join("tokenizer_config.json"))["pad_token"],
                json!("<pad>"),
                "{pad}: {name}"
            );
        }
        // a language model keeps what its base had
        assert_eq!(read_json(&at("sft").join("tokenizer_config.json"))["pad_token"], json!(pad));
    }
}

#[test]
fn an_adapter_upon_a_gguf_file_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let model = base(dir.path(), json!({"eos_token": "<|endoftext|>"}), json!({"eos_token_id": END_OF_TEXT}));
    let [gguf, out] = ["m.gguf", "tuned"].map(|name| dir.path().join(name).to_str().unwrap().to_string());
    run(&["convert", model.to_str().unwrap(), &gguf, "-q"]);
    let [demos, _] = rows(dir.path());
    let output = rlhf(&[
        "sft",
        "--model",
        &gguf,
        "--data",
        &demos,
        "--out",
        &out,
        "--lora-rank",
        "2",
        "--epochs",
        "1",
        "--batch",
        "2",
        "--device",
        "cpu",
    ]);
    let said = stderr(&output) + &stdout(&output);
    assert!(
        output.status.success() && said.contains("rlhf merge") && said.contains("base_model_name_or_path"),
        "{said}"
    );
    assert!(fs::read_to_string(Path::new(&out).join("README.md")).unwrap().contains("rlhf merge"));
}

#[test]
fn ends_that_gguf_has_no_key_for_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = json!({"eos_token": "<|endoftext|>"});
    let model = base(dir.path(), tokens, json!({"eos_token_id": [256, 257, 258]}));
    let [three, back, four] =
        ["3.gguf", "back", "4.gguf"].map(|name| dir.path().join(name).to_str().unwrap().to_string());
    run(&["convert", model.to_str().unwrap(), &three, "-q"]);
    run(&["convert", &three, &back, "-q"]);
    assert_eq!(read_json(&Path::new(&back).join("config.json"))["eos_token_id"], json!([256, 257, 258]));
    fs::write(model.join("generation_config.json"), json!({"eos_token_id": [256, 257, 258, 259]}).to_string()).unwrap();
    refuses(
        &["convert", model.to_str().unwrap(), &four],
        6,
        &["4 tokens end an answer", "eom", "generation_config.json"],
    );
}

/// Ids of prompts that transformers and tokenizers gave (../shared/cases).
#[test]
fn prompts_of_others_have_their_ids() {
    let cases = ["tokenizer-null-normalizer", "tokenizer-null-normalizer-unigram", "unk-dropped", "qwen2-slow-files"];
    for name in cases {
        let Some(case) = shared(&format!("cases/files/{name}")) else { return };
        let [model, prompts] = ["model", "prompts.jsonl"].map(|name| case.join(name).to_str().unwrap().to_string());
        let args = [
            "generate",
            "--model",
            &model,
            "--prompts",
            &prompts,
            "--max-new",
            "1",
            "--greedy",
            "--json",
            "--device",
            "cpu",
        ];
        let out: Value = serde_json::from_str(&run(&args)).unwrap();
        let ids: Vec<&Value> = out["generations"].as_array().unwrap().iter().map(|one| &one["prompt_ids"]).collect();
        assert_eq!(json!(ids), read_json(&case.join("expect.json"))["ids"], "{name}");
    }
    let expected = [400, 85, 83, 284, 199, 283, 401, 199, 400, 65, 83, 83, 73, 83, 84, 65, 314, 199];
    for name in ["tokens-in-added_tokens.json", "tokens-in-added_tokens_decoder", "tokens-in-vocab-named-special"] {
        let Some(model) = shared(&format!("cases/files/{name}/model")) else { return };
        let args =
            ["generate", "--prompt", "hello", "--chat", "--max-new", "1", "--greedy", "--json", "--device", "cpu"];
        let out: Value =
            serde_json::from_str(&run(&[&args[..], &["--model", model.to_str().unwrap()]].concat())).unwrap();
        assert_eq!(out["generations"][0]["prompt_ids"], json!(expected), "{name}");
    }
}

/// A GGUF file reads text as the directory does that it was made from, whatever config.json says of the ends.
#[test]
fn gguf_takes_start_and_end_from_the_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["gguf-bos-of-config", "gguf-bos-without-id", "gguf-no-ends"] {
        let Some(case) = shared(&format!("cases/files/{name}")) else { return };
        let [model, demo] = ["model", "demo.jsonl"].map(|name| case.join(name).to_str().unwrap().to_string());
        let gguf = dir.path().join(format!("{name}.gguf")).to_str().unwrap().to_string();
        run(&["convert", &model, &gguf, "-q"]);
        for model in [&model, &gguf] {
            let out: Value = serde_json::from_str(&run(&["inspect", &demo, "--model", model, "--json"])).unwrap();
            assert_eq!(out["sequences"][0]["ids"], json!([400, 283, 347, 401]), "{model}");
        }
    }
}

/// Padding behind the embedding is left out and told; a template that writes it is refused.
#[test]
fn a_template_may_not_write_what_the_model_has_no_row_for() {
    let dir = tempfile::tempdir().unwrap();
    let model = base(dir.path(), json!({"eos_token": "<|endoftext|>", "mask_token": "<new>"}), json!({}));
    let path = model.to_str().unwrap();
    let args = ["generate", "--model", path, "--prompt", "hello", "--max-new", "1", "--device", "cpu"];
    let output = rlhf(&args);
    assert!(output.status.success() && stderr(&output).contains("<new>"), "{}", stderr(&output));
    fs::write(model.join("chat_template.jinja"), format!("<new>{CHATML}")).unwrap();
    let output = rlhf(&[&args[..], &["--chat"]].concat());
    assert!(!output.status.success() && stderr(&output).contains("260 rows"), "{}", stderr(&output));
}
