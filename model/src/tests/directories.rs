//! Model directories: what is saved loads again; what is broken or hostile is refused by name.
use super::{all, gpt2, llama, shaken, texts};
use crate::arch::keys::SCORE_BIAS;
use crate::files::safetensors::{self, Array};
use crate::{Config, HeadKind, Model, load, save, score, tensor_maps};
use half::{bf16, f16};
use kernels::{Device, Ids, Rng, Segments};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn saved(config: &Config, head: HeadKind) -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    let model = shaken(config, head);
    save(dir.path(), &model, None).unwrap();
    (dir, model)
}

fn read(dir: &Path, name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(dir.join(name)).unwrap()).unwrap()
}

fn change(dir: &Path, name: &str, key: &str, value: Value) {
    let mut json = read(dir, name);
    json[key] = value;
    fs::write(dir.join(name), json.to_string()).unwrap();
}

#[track_caller]
fn refused(dir: &Path, says: &[&str]) {
    let error = load(dir, &Device::Cpu).err().expect("refused").to_string();
    for word in says {
        assert!(error.contains(word), "`{word}` not in: {error}");
    }
}

#[test]
fn what_is_saved_loads_bit_for_bit() {
    for config in all() {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let (dir, model) = saved(&config, head);
            let again = load(dir.path(), &Device::Cpu).unwrap();
            assert_eq!((again.config(), again.head()), (&config, head));
            assert_eq!(again.params.flat().to_vec(), model.params.flat().to_vec());
        }
    }
}

#[test]
fn a_reward_model_keeps_its_bias() {
    let (dir, model) = saved(&gpt2(), HeadKind::Score);
    let json = read(dir.path(), "config.json");
    assert_eq!(json["architectures"], json!(["GPT2ForSequenceClassification"]));
    assert_eq!((json["num_labels"].as_u64(), json["pad_token_id"].is_null()), (Some(1), true));
    let bias = model.params.get(model.net.score_bias().unwrap()).item();
    assert!(bias != 0.0 && json[SCORE_BIAS].as_f64() == Some(bias as f64));
    let again = load(dir.path(), &Device::Cpu).unwrap();
    let texts = texts(&[9], 61);
    let of = |m: &Model| score::scores(&m.net, &m.params.frozen(), &texts, 100).unwrap();
    assert_eq!(of(&again), of(&model));
}

/// Stopped between the weights and config.json: saving again goes on. Weights that are nobody's are left alone.
#[test]
fn a_stopped_save_is_done_again() {
    let (dir, model) = saved(&gpt2(), HeadKind::Lm);
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    let again = || save(dir.path(), &model, None);
    assert!(again().unwrap_err().to_string().contains("without a config.json"));
    std::fs::write(dir.path().join(".tmp-4000000000-config.json"), "{}").unwrap();
    again().unwrap();
    load(dir.path(), &Device::Cpu).unwrap();
}

#[test]
fn another_model_is_not_overwritten() {
    let (dir, model) = saved(&gpt2(), HeadKind::Lm);
    save(dir.path(), &model, Some("{}")).unwrap(); // its own: yes
    assert_eq!(fs::read_to_string(dir.path().join("tokenizer.json")).unwrap(), "{}");
    for (config, head) in [(gpt2(), HeadKind::Score), (llama(), HeadKind::Lm)] {
        let error = save(dir.path(), &shaken(&config, head), None).unwrap_err().to_string();
        assert!(error.contains("another model"), "{error}");
    }
    fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(save(dir.path(), &model, None).is_err()); // weights of nobody knows what
}

/// The same arrays in other files, each cast by `store` to (dtype, bytes).
fn rewrite(dir: &Path, names: &[&str], store: impl Fn(f32) -> Vec<u8>, dtype: &str) {
    let whole = safetensors::Archive::open(&dir.join("model.safetensors")).unwrap();
    let tensors = whole.names();
    let mut map = serde_json::Map::new();
    for (i, file) in names.iter().enumerate() {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for name in tensors.iter().skip(i).step_by(names.len()) {
            let start = data.len();
            whole.read(name).unwrap().into_iter().for_each(|x| data.extend(store(x)));
            let entry = json!({"dtype": dtype, "shape": whole.shape(name), "data_offsets": [start, data.len()]});
            header.insert(name.clone(), entry);
            map.insert(name.clone(), json!(file));
        }
        let header = Value::Object(header).to_string();
        let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat();
        fs::write(dir.join(format!("new-{file}")), bytes).unwrap();
    }
    fs::remove_file(dir.join("model.safetensors")).unwrap();
    names.iter().for_each(|file| fs::rename(dir.join(format!("new-{file}")), dir.join(file)).unwrap());
    if names.len() > 1 {
        let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
        fs::write(dir.join("model.safetensors.index.json"), index.to_string()).unwrap();
    }
}

#[test]
fn shards_and_half_precision() {
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let (dir, model) = saved(&llama(), HeadKind::Lm);
    rewrite(dir.path(), &shards, |x| x.to_le_bytes().to_vec(), "F32");
    let again = load(dir.path(), &Device::Cpu).unwrap();
    assert_eq!(again.params.flat().to_vec(), model.params.flat().to_vec());

    rewrite_check(|x| f16::from_f32(x).to_le_bytes().to_vec(), "F16", |x| f16::from_f32(x).to_f32());
    rewrite_check(|x| bf16::from_f32(x).to_le_bytes().to_vec(), "BF16", |x| bf16::from_f32(x).to_f32());

    fs::remove_file(dir.path().join(shards[1])).unwrap();
    refused(dir.path(), &[shards[1]]);
}

fn rewrite_check(store: impl Fn(f32) -> Vec<u8>, dtype: &str, round: impl Fn(f32) -> f32) {
    let (dir, model) = saved(&gpt2(), HeadKind::Lm);
    rewrite(dir.path(), &["model.safetensors.tmp"], store, dtype);
    fs::rename(dir.path().join("model.safetensors.tmp"), dir.path().join("model.safetensors")).unwrap();
    let again = load(dir.path(), &Device::Cpu).unwrap();
    let rounded: Vec<f32> = model.params.flat().to_vec().into_iter().map(round).collect();
    assert_eq!(again.params.flat().to_vec(), rounded);
}

#[test]
fn an_index_cannot_reach_outside() {
    let hostile = [
        "../model.safetensors",
        "/etc/passwd",
        "/etc/x.safetensors",
        "a/../../b.safetensors",
        "..\\b.safetensors",
        "C:\\b.safetensors",
        "\\\\host\\b.safetensors",
        "b.safetensors\0",
        "./b.safetensors",
        ".safetensors",
        "..safetensors",
        "b.bin",
        "",
        "sub/b.safetensors",
        "%2e%2e%2fb.safetensors",
        "b .safetensors",
        "…safetensors",
    ];
    for name in hostile {
        let (dir, _) = saved(&gpt2(), HeadKind::Lm);
        fs::remove_file(dir.path().join("model.safetensors")).unwrap();
        let index = json!({"weight_map": {"x": name}});
        fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
        refused(dir.path(), &["is not a plain name", "index.json"]);
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let lm = || saved(&gpt2(), HeadKind::Lm).0;
    let dir = lm();
    change(dir.path(), "config.json", "n_layer", json!(3));
    refused(dir.path(), &["parameters", "different models"]);
    let dir = lm();
    change(dir.path(), "config.json", "n_layer", json!(1));
    refused(dir.path(), &["transformer.h.1.", "no part of"]);
    let dir = lm();
    change(dir.path(), "config.json", "vocab_size", json!(60));
    refused(dir.path(), &["transformer.wte.weight", "[60, 32]", "[61, 32]"]);
    let dir = lm();
    change(dir.path(), "config.json", "n_positions", json!(1u64 << 40));
    refused(dir.path(), &["config.json", "n_positions", "no size"]);
    let dir = lm();
    change(dir.path(), "config.json", "n_inner", json!(1u64 << 29));
    refused(dir.path(), &["parameters"]);
    let dir = lm();
    change(dir.path(), "config.json", "logit_scale", json!(0.5));
    refused(dir.path(), &["config.json", "logit_scale", "not known"]);
    let dir = lm();
    change(dir.path(), "generation_config.json", "eos_token_id", json!([1, 61]));
    refused(dir.path(), &["generation_config.json", "61"]);
    let dir = lm();
    fs::remove_file(dir.path().join("config.json")).unwrap();
    refused(dir.path(), &["config.json", "cannot read"]);
    let dir = lm();
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    refused(dir.path(), &["no model.safetensors", ".bin"]);
    let dir = lm();
    let whole = fs::read(dir.path().join("model.safetensors")).unwrap();
    fs::write(dir.path().join("model.safetensors"), &whole[..whole.len() - 5]).unwrap();
    refused(dir.path(), &["model.safetensors", "incomplete"]);
}

/// GPT-2's own files: names without a prefix, and causal masks among the weights.
#[test]
fn the_first_gpt2_files_load() {
    let (dir, model) = saved(&gpt2(), HeadKind::Lm);
    let maps = tensor_maps(&model.net);
    let mut arrays: Vec<Array> = maps
        .iter()
        .map(|w| {
            let (shape, numbers) = w.to_hf(&model.params.get(w.param));
            let name = w.name.strip_prefix("transformer.").unwrap().to_string();
            Array { name, shape, numbers: numbers.into() }
        })
        .collect();
    arrays.push(Array { name: "h.0.attn.bias".into(), shape: vec![1, 1, 2, 2], numbers: vec![1.0; 4].into() });
    safetensors::write(&dir.path().join("model.safetensors"), &arrays).unwrap();
    assert_eq!(load(dir.path(), &Device::Cpu).unwrap().params.flat().to_vec(), model.params.flat().to_vec());
}

#[test]
fn a_list_of_end_tokens_comes_from_the_generation_config() {
    let (dir, _) = saved(&gpt2(), HeadKind::Lm);
    change(dir.path(), "generation_config.json", "eos_token_id", json!([5, 0]));
    assert_eq!(load(dir.path(), &Device::Cpu).unwrap().config().eos_ids, [5, 0]);
    change(dir.path(), "generation_config.json", "eos_token_id", Value::Null);
    assert_eq!(load(dir.path(), &Device::Cpu).unwrap().config().eos_ids, [0]);
}

/// Random damage to a directory's JSON is an error or a model, never a panic.
#[test]
fn mutated_json_never_panics() {
    let (dir, _) = saved(&llama(), HeadKind::Score);
    let mut draws = Rng::new(2).draws();
    for name in ["config.json", "generation_config.json"] {
        let whole = fs::read(dir.path().join(name)).unwrap();
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..1 + draws.below(3) {
                let at = draws.below(bytes.len());
                bytes[at] = *draws.choose(b"0123456789-e.\"{}[],: ntf\0\xff");
            }
            fs::write(dir.path().join(name), bytes).unwrap();
            let _ = load(dir.path(), &Device::Cpu);
        }
        fs::write(dir.path().join(name), whole).unwrap();
    }
}

#[test]
fn the_tensors_cover_every_parameter_once() {
    for config in all() {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let Model { net: model, params } = Model::new(&config, head, Rng::new(0), &Device::Cpu);
            assert_eq!(config.parameters(head), Some(params.iter().map(|(_, _, s)| s.iter().product::<usize>()).sum()));
            let maps = tensor_maps(&model);
            for (id, name, shape) in params.iter().filter(|(id, ..)| Some(*id) != model.score_bias()) {
                let mut next = 0;
                for map in maps.iter().filter(|map| map.param == id) {
                    assert_eq!(map.rows.start, next, "{name}");
                    next = map.rows.end;
                }
                assert_eq!(next, shape[0], "{name}");
            }
        }
    }
}

/// `DUMP_MODELS=folder` writes a directory for every architecture and head, with what it computes for some tokens
/// in ours.json: for scripts/check_transformers.py to compare.
#[test]
fn dump() {
    let Ok(folder) = std::env::var("DUMP_MODELS") else { return };
    for (i, config) in all().into_iter().enumerate() {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let dir = Path::new(&folder).join(format!("{i}-{}-{head:?}", config.arch));
            let whole = shaken(&config, head);
            save(&dir, &whole, None).unwrap();
            let Model { net: model, params } = whole;
            let (texts, w) = (texts(&[1, 20, 48], config.vocab), params.frozen());
            let rows = |text: &Vec<u32>| {
                let seg = Segments::from_lengths(&[text.len()]);
                let hidden = model.hidden(&w, &Ids::new(text.clone()), &seg, None);
                match head {
                    HeadKind::Lm => model.logits(&w, &hidden).value().to_vec(),
                    HeadKind::Score => model.score(&w, &hidden).value().to_vec(),
                }
            };
            let rows: Vec<Vec<f32>> = texts.iter().map(rows).collect();
            let key = if head == HeadKind::Lm { "logits" } else { "scores" };
            fs::write(dir.join("ours.json"), json!({"ids": texts, key: rows}).to_string()).unwrap();
        }
    }
}
