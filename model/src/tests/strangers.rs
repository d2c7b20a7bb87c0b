//! Files that others wrote: heads that differ from what config.json says, numbers that are not finite, the spellings of
//! PEFT and TRL, what is no file at all; and models that only answer.
use super::{all, gpt2, llama, shaken, texts};
use crate::arch::tensors::{Part, tensor_name};
use crate::files::safetensors::{self, Archive, Array};
use crate::{
    BaseModels, Config, Dtype, HeadKind, Model, arch, convert, describe, load, load_to_answer, lora, save, score,
};
use kernels::{Device, Rng};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn saved(config: &Config, head: HeadKind) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &shaken(config, head), None).unwrap();
    dir
}

fn error(path: &Path) -> String {
    load(path, &Device::Cpu).err().expect("refused").to_string()
}

fn change(path: &Path, key: &str, value: Value) {
    let mut json: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    json[key] = value;
    fs::write(path, json.to_string()).unwrap();
}

/// A file of tensors with other names, shapes or numbers.
fn rewrite(file: &Path, change: impl Fn(&mut Vec<Array<'static>>)) {
    let archive = Archive::open(file).unwrap();
    let mut arrays: Vec<Array> = archive
        .names()
        .into_iter()
        .map(|name| Array {
            shape: archive.shape(&name).unwrap().to_vec(),
            numbers: archive.read(&name).unwrap().into(),
            name,
        })
        .collect();
    drop(archive);
    change(&mut arrays);
    safetensors::write(file, &arrays).unwrap();
}

fn logprobs(model: &Model) -> Vec<f32> {
    let texts = texts(&[9, 4], model.config().vocab);
    score::logprobs(&model.net, &model.params.frozen(), &texts, 1.0, 100).unwrap().concat()
}

/// A head of its own is used whatever config.json says; one that is the embedding, or that stands in its place, is tied.
#[test]
fn a_head_is_tied_where_it_is_the_embedding() {
    for untied in [
        Config { tied: false, ..gpt2() },
        llama(),
        Config { tied: false, ..Config::new(&arch::qwen2::ARCH, 61, 48, 2, 32, 4, 2) },
        Config { tied: false, ..Config::new(&arch::gpt_neox::ARCH, 61, 48, 2, 32, 4, 4) },
    ] {
        let (head, rows) = (tensor_name(&untied, Part::Head), tensor_name(&untied, Part::Embedding));
        let dir = saved(&untied, HeadKind::Lm);
        let (config, weights) = (dir.path().join("config.json"), dir.path().join("model.safetensors"));
        let expected = logprobs(&load(dir.path(), &Device::Cpu).unwrap());
        change(&config, "tie_word_embeddings", json!(true));
        let found = load(dir.path(), &Device::Cpu).unwrap();
        assert!(!found.config().tied && logprobs(&found) == expected, "{}", untied.arch);
        let copy = dir.path().join("copy");
        convert(dir.path(), &copy, Dtype::F32).unwrap();
        assert_eq!(logprobs(&load(&copy, &Device::Cpu).unwrap()), expected);

        let take = |arrays: &mut Vec<Array<'static>>| {
            let numbers = arrays.iter().find(|a| a.name == rows).unwrap().numbers.clone();
            arrays.iter_mut().find(|a| a.name == head).unwrap().numbers = numbers;
        };
        rewrite(&weights, take);
        let both = load(dir.path(), &Device::Cpu).unwrap();
        assert!(both.config().tied, "{}", untied.arch);
        rewrite(&weights, |arrays| arrays.retain(|a| a.name != rows));
        let only_head = load(dir.path(), &Device::Cpu).unwrap();
        assert!(only_head.config().tied && logprobs(&only_head) == logprobs(&both), "{}", untied.arch);
        assert_eq!(describe(dir.path()).unwrap().learning, both.params.count());
    }
}

#[test]
fn numbers_that_are_not_finite_are_named_wherever_they_are() {
    for (config, head) in [(gpt2(), HeadKind::Lm), (llama(), HeadKind::Score)] {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let dir = saved(&config, head);
            let file = dir.path().join("model.safetensors");
            let name = Archive::open(&file).unwrap().names().pop().unwrap();
            let bytes = fs::read(&file).unwrap();
            let end = bytes.len();
            fs::write(&file, [&bytes[..end - 4], &odd.to_le_bytes()].concat()).unwrap();
            for error in [error(dir.path()), load_to_answer(dir.path(), &Device::Cpu).err().unwrap().to_string()] {
                assert!(error.contains(&name) && error.contains("not finite"), "{error}");
            }
            let error = convert(dir.path(), &dir.path().join("x"), Dtype::F32).unwrap_err().to_string();
            assert!(error.contains("not finite") && !dir.path().join("x").exists(), "{error}");
        }
    }
    let dir = saved(&gpt2(), HeadKind::Lm);
    let file = dir.path().join("x.gguf");
    convert(dir.path(), &file, Dtype::Q8_0).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = crate::files::gguf::parse(&bytes).unwrap().1.into_iter().find(|t| t.shape.len() == 2).unwrap();
    bytes[at.bytes.start..][..2].copy_from_slice(&[0, 0x7e]); // the scale of a block
    fs::write(&file, bytes).unwrap();
    assert!(error(&file).contains("not finite"));
}

/// What diverged is never written.
#[test]
fn a_model_that_is_not_finite_is_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = shaken(&gpt2(), HeadKind::Lm);
    model.params.flat_mut().data_mut()[5] = f32::NAN;
    let error = save(dir.path(), &model, None).unwrap_err().to_string();
    assert!(error.contains("not finite") && !dir.path().join("config.json").exists(), "{error}");
}

fn adapter(base: &Path, at: &Path, head: HeadKind) -> Vec<f32> {
    let on = BaseModels::default().open(base, &Device::Cpu).unwrap();
    let modules = lora::modules(&on.net, "q_proj,down_proj").unwrap();
    let mut model = lora::attach(&on, 2, 4.0, &modules, head, Rng::new(1));
    let noise = kernels::normal(Rng::new(2), &Device::Cpu, &[model.params.flat().len()], 0.1);
    kernels::axpy(model.params.flat_mut(), 1.0, &noise);
    save(at, &model, None).unwrap();
    score_of(at)
}

fn score_of(at: &Path) -> Vec<f32> {
    let model = load(at, &Device::Cpu).unwrap_or_else(|e| panic!("{e}"));
    score::scores(&model.net, &model.params.frozen(), &texts(&[9], 61), 100).unwrap().concat()
}

#[test]
fn reward_adapters_are_read_in_every_spelling() {
    let base = saved(&llama(), HeadKind::Lm);
    let dir = tempfile::tempdir().unwrap();
    let expected = adapter(base.path(), dir.path(), HeadKind::Score);
    let (config, weights) = (dir.path().join("adapter_config.json"), dir.path().join("adapter_model.safetensors"));
    for value in [json!(["classifier", "score"]), json!(["score"]), json!(null), json!([])] {
        change(&config, "modules_to_save", value);
        assert_eq!(score_of(dir.path()), expected);
    }
    let good = fs::read(&weights).unwrap();
    let renames: [fn(&str) -> String; 4] = [
        |name| name.replace("model.score.", "model.score.modules_to_save.default."),
        |name| name.replace("model.score.", "model.score.modules_to_save."),
        |name| name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default."),
        |name| name.replace("base_model.model.", ""),
    ];
    for rename in renames {
        fs::write(&weights, &good).unwrap();
        rewrite(&weights, |arrays| arrays.iter_mut().for_each(|a| a.name = rename(&a.name)));
        assert_eq!(score_of(dir.path()), expected);
    }
    fs::write(&weights, &good).unwrap();
    rewrite(&weights, |arrays| {
        let name = "base_model.model.score.original_module.weight".into();
        arrays.push(Array { name, shape: vec![1, 32], numbers: vec![7.0; 32].into() });
    });
    assert_eq!(score_of(dir.path()), expected);
    for (name, says) in [("base_model.model.score.bias", "score.bias"), ("lm_head.weight", "lm_head.weight")] {
        fs::write(&weights, &good).unwrap();
        rewrite(&weights, |arrays| {
            arrays.push(Array { name: name.into(), shape: vec![1], numbers: vec![7.0].into() });
        });
        assert!(error(dir.path()).contains(says));
    }
    fs::write(&weights, &good).unwrap();
    rewrite(&weights, |arrays| arrays.retain(|a| !a.name.contains("score")));
    assert!(error(dir.path()).contains("score.weight` is not there"));
}

#[test]
fn an_adapter_is_looked_at_before_its_model_is_read() {
    let base = saved(&llama(), HeadKind::Lm);
    let dir = tempfile::tempdir().unwrap();
    adapter(base.path(), dir.path(), HeadKind::Score);
    let config = dir.path().join("adapter_config.json");
    for (key, value, says) in [
        ("r", json!(1_000_000_000), "[1000000000, 96] is expected"),
        ("r", json!(2.5), "whole number"),
        ("r", json!(-2), "above 0"),
        ("lora_alpha", json!(0), "above 0"),
        ("layers_to_transform", json!([0]), ""),
        ("exclude_modules", json!("lm_head"), ""),
        ("init_lora_weights", json!("orthogonal"), ""),
        ("base_model_name_or_path", json!(dir.path()), "adapter itself"),
        ("base_model_name_or_path", json!(""), "no model here"),
    ] {
        let good = fs::read_to_string(&config).unwrap();
        change(&config, key, value);
        match says {
            "" => assert!(load(dir.path(), &Device::Cpu).is_ok(), "{key}"),
            says => assert!(error(dir.path()).contains(says), "{says}: {}", error(dir.path())),
        }
        fs::write(&config, good).unwrap();
    }
}

/// bf16 stays bf16, f32 stays f32, and both say what a trained model says.
#[test]
fn a_model_that_only_answers_is_the_same_in_fewer_bytes() {
    for config in all() {
        let dir = saved(&config, HeadKind::Lm);
        let halves = dir.path().join("halves");
        convert(dir.path(), &halves, Dtype::Bf16).unwrap();
        for (path, less) in [(dir.path(), false), (&halves, true)] {
            let [trained, answers] = [load, load_to_answer].map(|open| open(path, &Device::Cpu).unwrap());
            for (a, b) in logprobs(&answers).iter().zip(logprobs(&trained)) {
                assert!((a - b).abs() < 2e-5 * b.abs().max(1.0), "{}: {a} is not {b}", config.arch);
            }
            let said = describe(path).unwrap();
            assert_eq!((said.answering < 3 * said.learning, &said.config), (less, trained.config()));
            assert_eq!((said.head, answers.config()), (trained.head(), trained.config()));
        }
    }
    let dir = saved(&gpt2(), HeadKind::Score);
    let [trained, answers] = [load, load_to_answer].map(|open| open(dir.path(), &Device::Cpu).unwrap());
    let bias = |m: &Model| m.params.get(m.net.score_bias().unwrap()).item();
    assert_eq!((bias(&answers), answers.head()), (bias(&trained), HeadKind::Score));
}

/// The base's own numbers, not those of bf16.
#[test]
fn merging_rounds_nothing() {
    let base = saved(&llama(), HeadKind::Lm);
    let dir = tempfile::tempdir().unwrap();
    adapter(base.path(), dir.path(), HeadKind::Score);
    let exact = load_to_answer(dir.path(), &Device::Cpu).unwrap();
    let Model { net, params: merged } = lora::merge(&exact);
    let whole = load(base.path(), &Device::Cpu).unwrap();
    let touched = |id| exact.net.blocks.iter().any(|b| [b.qkv.weight, b.down.weight].contains(&id));
    let mut same = 0;
    for (id, name, _) in whole.params.iter().filter(|(id, ..)| !touched(*id)) {
        let Some(to) = merged.by_name(name) else { continue };
        assert_eq!(merged.get(to).to_vec(), whole.params.get(id).to_vec(), "{name}");
        same += 1;
    }
    assert!(same > 8 && net.head_kind() == HeadKind::Score);
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_directories_are_no_files() {
    use std::os::unix::fs::symlink;
    for name in
        ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    {
        let dir = saved(&gpt2(), HeadKind::Lm);
        let file = dir.path().join(name);
        fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
        for what in ["pipe", "/dev/zero", "directory"] {
            let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
            match what {
                "pipe" => assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success()),
                "directory" => fs::create_dir(&file).unwrap(),
                device => symlink(device, &file).unwrap(),
            }
            let error = match name.starts_with("tokenizer") {
                false => error(dir.path()),
                true => crate::Tokenizer::of_model(dir.path()).unwrap_err().to_string(),
            };
            assert!(error.contains(name) && error.contains("a file is expected"), "{name} {what}: {error}");
        }
    }
}

#[test]
fn what_is_quantised_is_said_to_be() {
    let dir = saved(&gpt2(), HeadKind::Lm);
    let config = dir.path().join("config.json");
    change(&config, "quantization_config", json!({"quant_method": "gptq", "bits": 4}));
    let says = error(dir.path());
    assert!(["quantization_config", "by gptq", "GGUF"].iter().all(|word| says.contains(word)), "{says}");
    change(&config, "quantization_config", json!(null));
    rewrite(&dir.path().join("model.safetensors"), |arrays| {
        arrays.push(Array { name: "v_head.summary.weight".into(), shape: vec![1, 32], numbers: vec![0.0; 32].into() });
    });
    assert!(error(dir.path()).contains("value head"), "{}", error(dir.path()));
    assert!(load(&dir.path().join("nowhere"), &Device::Cpu).is_err());
}
