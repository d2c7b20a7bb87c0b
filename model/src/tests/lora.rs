//! Adapters: what they compute, their gradients, their files.
use super::{all, close, gpt2, llama, shaken, texts};
use crate::lora::{attach, count, is_adapter, merge, modules};
use crate::{BaseModel, BaseModels, Config, HeadKind, Model, load, load_sharing, save};
use autograd::{Weights, ops};
use kernels::{Device, Ids, Rng, Segments, Tensor};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::Arc;

fn base_model(dir: &Path, config: &Config, head: HeadKind) -> BaseModel {
    save(dir, &shaken(config, head), None).unwrap();
    BaseModels::default().open(dir, &Device::Cpu).unwrap()
}

/// Adapters whose B is no longer zero.
fn adapted(on: &BaseModel, targets: &str, head: HeadKind) -> Model {
    let modules = modules(&on.net, targets).unwrap();
    let mut model = attach(on, 3, 6.0, &modules, head, Rng::new(1));
    let n = model.params.flat().len();
    let noise = kernels::normal(Rng::new(2), &Device::Cpu, &[n], 0.1);
    kernels::axpy(model.params.flat_mut(), 1.0, &noise);
    model
}

fn answers(Model { net, params }: &Model) -> Vec<f32> {
    let (sequences, w) = (texts(&[7, 1, 12], net.config.vocab), &params.frozen());
    let seg = Segments::from_lengths(&[7, 1, 12]);
    let hidden = net.hidden(w, &Ids::new(sequences.concat()), &seg, None);
    match net.head_kind() {
        HeadKind::Lm => net.logits(w, &hidden).value().to_vec(),
        HeadKind::Score => net.score(w, &hidden).value().to_vec(),
    }
}

#[test]
fn merged_is_unmerged_and_files_keep_every_bit() {
    for config in all() {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let dir = tempfile::tempdir().unwrap();
            let on = base_model(&dir.path().join("base"), &config, HeadKind::Lm);
            let model = adapted(&on, "all-linear", head);
            let unmerged = answers(&model);
            close(&answers(&merge(&model)), &unmerged, 1e-4);

            let saved = dir.path().join("adapter");
            save(&saved, &model, None).unwrap();
            let loaded = load(&saved, &Device::Cpu).unwrap();
            for (id, name, _) in model.params.iter() {
                let [ours, theirs] = [&model, &loaded].map(|model| model.params.get(id).to_vec());
                assert!(ours == theirs, "{} {head:?} {name}", config.arch);
            }
            assert_eq!(answers(&loaded), unmerged);
        }
    }
}

#[test]
fn fresh_adapters_change_nothing_and_are_all_that_learns() {
    let dir = tempfile::tempdir().unwrap();
    let on = base_model(dir.path(), &llama(), HeadKind::Lm);
    let targets = modules(&on.net, "q_proj,down_proj").unwrap();
    let model = attach(&on, 2, 4.0, &targets, HeadKind::Lm, Rng::new(1));
    let none = attach(&on, 2, 4.0, &[], HeadKind::Lm, Rng::new(1));
    assert_eq!(answers(&model), answers(&none));
    // q: 32 → 32, down: F → 32, in two layers
    let expected = 2 * 2 * (32 + 32 + llama().intermediate_size + 32);
    assert_eq!((model.params.count(), count(&llama(), 2, "q_proj,down_proj").unwrap()), (expected, expected));
    assert_eq!(model.params.base().count(), llama().parameters(HeadKind::Lm).unwrap());
}

#[test]
fn an_adapter_of_queries_leaves_keys_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let on = base_model(dir.path(), &llama(), HeadKind::Lm);
    let Model { net: model, params } = adapted(&on, "q_proj", HeadKind::Lm);
    let qkv = model.blocks[0].qkv.weight;
    let (base, merged) = (on.base.get(qkv).to_vec(), params.merged(qkv).to_vec());
    let q = 32 * 32;
    assert!(base[..q].iter().zip(&merged[..q]).all(|(a, b)| a != b));
    assert_eq!(base[q..], merged[q..]);
}

/// The slope along random directions, with and without checkpointing.
#[test]
fn gradients_are_those_of_finite_differences() {
    for config in [gpt2(), llama()] {
        let dir = tempfile::tempdir().unwrap();
        let on = base_model(dir.path(), &config, HeadKind::Lm);
        for checkpointing in [false, true] {
            let Model { net: mut model, params } = adapted(&on, "all-linear", HeadKind::Score);
            model.gradient_checkpointing = checkpointing;
            let loss = |w: &Weights| {
                let seg = Segments::from_lengths(&[9]);
                let hidden = model.hidden(w, &Ids::new(texts(&[9], config.vocab).concat()), &seg, None);
                ops::sum(&ops::square(&model.score(w, &hidden)))
            };
            let mut grads = params.grads();
            params.backprop(&mut grads, |w| (loss(w), ()));
            let moved = |direction: &Tensor, by: f32| {
                let mut moved = params.clone();
                kernels::axpy(moved.flat_mut(), by, direction);
                loss(&moved.frozen()).item() as f64
            };
            for seed in 0..4 {
                let direction = kernels::normal(Rng::new(seed), &Device::Cpu, &[params.flat().len()], 1.0);
                let by_tape = kernels::dot(grads.flat(), &direction).item() as f64;
                let h = 1e-3;
                let slope = (moved(&direction, h) - moved(&direction, -h)) / (2.0 * h as f64);
                assert!((slope - by_tape).abs() < 0.01 * (1.0 + grads.norm() as f64), "{slope} is not {by_tape}");
            }
        }
    }
}

#[test]
fn a_score_head_goes_with_its_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let on = base_model(&dir.path().join("base"), &gpt2(), HeadKind::Score);
    let scored = attach(&on, 2, 2.0, &[], HeadKind::Score, Rng::new(1));
    let whole = load(&dir.path().join("base"), &Device::Cpu).unwrap();
    close(&answers(&scored), &answers(&whole), 0.3);

    let on = base_model(&dir.path().join("lm"), &gpt2(), HeadKind::Lm);
    let model = adapted(&on, "c_attn,c_fc", HeadKind::Lm);
    let mut scored = model.as_score(Rng::new(5));
    scored.params.set(scored.net.score_bias().unwrap(), &[0.25]);
    let [ours, theirs] = [&scored, &model].map(|Model { net, params }| {
        let (tokens, seg) = (Ids::new(vec![1, 2]), Segments::from_lengths(&[2]));
        net.hidden(&params.frozen(), &tokens, &seg, None).value().to_vec()
    });
    assert_eq!(ours, theirs);
    assert!(Arc::ptr_eq(scored.params.base(), model.params.base()));
    let [policy, reward] = ["policy", "reward"].map(|name| dir.path().join(name));
    save(&policy, &model, None).unwrap();
    save(&reward, &scored, None).unwrap();
    let mut bases = BaseModels::default();
    let [policy, reward] = [policy, reward].map(|dir| load_sharing(&dir, &Device::Cpu, &mut bases).unwrap());
    assert!(Arc::ptr_eq(policy.params.base(), reward.params.base()));
    assert_eq!(answers(&reward), answers(&scored));
}

#[test]
fn what_is_not_supported_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let on = base_model(&dir.path().join("base"), &llama(), HeadKind::Lm);
    let error = modules(&on.net, "q_proj,c_attn").unwrap_err().to_string();
    assert!(error.contains("`c_attn`") && error.contains("gate_proj"), "{error}");

    let adapter = dir.path().join("adapter");
    save(&adapter, &adapted(&on, "all-linear", HeadKind::Lm), None).unwrap();
    assert!(is_adapter(&adapter) && !is_adapter(&dir.path().join("base")));
    let path = adapter.join("adapter_config.json");
    let good: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let changes = [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("use_rslora", json!(true)),
        ("bias", json!("all")),
        ("rank_pattern", json!({"q_proj": 4})),
        ("modules_to_save", json!(["embed_tokens"])),
        ("init_lora_weights", json!("pissa")),
        ("base_model_name_or_path", json!("nobody/nothing")),
    ];
    for (key, value) in changes {
        let mut json = good.clone();
        json[key] = value;
        fs::write(&path, json.to_string()).unwrap();
        let error = load(&adapter, &Device::Cpu).err().expect(key).to_string();
        assert!(error.contains(key), "{error}");
    }
    fs::write(&path, json!({"r": 4, "lora_alpha": 6, "base_model_name_or_path": on.dir}).to_string()).unwrap();
    let error = load(&adapter, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("lora_A.weight` has shape") && error.contains("another model"), "{error}");
}
