//! Real models out of GGUF files against transformers. The 135 million numbers of SmolLM2-135M-Instruct are not part
//! of the repository: `scripts/fetch_smollm2.sh` gets them, and RLHF_SMOLLM2 names the file.

use crate::support::{close, read_json, shared, smollm2};
use kernels::{Device, Ids, Rng, Sampling, Segments};
use model::{Dtype, GenerateConfig, Model, Tokenizer, convert, generate, load, score};
use serde_json::Value;
use std::path::PathBuf;

/// The model that writes stories, as GGUF: the tokens, the story and the likelihood that PyTorch has.
#[test]
fn stories_are_told_from_a_gguf_file() {
    let Some(dir) = shared("data/weights/stories260K") else { return };
    let out = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("hf/config.json", "config.json"),
        ("hf/model.safetensors", "model.safetensors"),
        ("tok512.bin", "tokenizer.bin"),
    ] {
        std::fs::copy(dir.join(from), out.path().join(to)).unwrap();
    }
    let golden = read_json(&dir.join("golden.json"));
    let expected = golden["eval_mean_nll_511"].as_f64().unwrap();
    for (dtype, tolerance) in [(Dtype::F32, 1e-5), (Dtype::F16, 1e-3), (Dtype::Q8_0, 1e-2)] {
        let file = out.path().join(format!("{dtype:?}.gguf"));
        convert(out.path(), &file, dtype).unwrap();
        let model = load(&file, &Device::Cpu).unwrap();
        let nll = mean_nll(&model, ids(&golden["eval_ids_512"]));
        assert!((nll - expected).abs() < tolerance, "{dtype:?}: {nll} nats a token, PyTorch has {expected}");
        let tokenizer = Tokenizer::of_model(&file).unwrap().expect("the file has a tokenizer");
        let prompt = ids(&golden["ids"]);
        assert_eq!(tokenizer.encode_start(golden["prompt"].as_str().unwrap()), prompt);
        if dtype == Dtype::F32 {
            assert_eq!(greedy(&model, &prompt), ids(&golden["greedy_ids_100"])[prompt.len()..][..40]);
        }
    }
}

#[test]
fn a_gpt2_of_transformers_is_the_same_as_a_gguf_file() {
    let Some(dir) = shared("data/weights/hf-gpt2-fixtures/tiny-2x32") else { return };
    let (out, model) = (tempfile::tempdir().unwrap(), load(&dir, &Device::Cpu).unwrap());
    let file = out.path().join("x.gguf");
    convert(&dir, &file, Dtype::F32).unwrap();
    let again = load(&file, &Device::Cpu).unwrap();
    assert_eq!((again.config(), again.params.flat().to_vec()), (model.config(), model.params.flat().to_vec()));
}

fn mean_nll(model: &Model, tokens: Vec<u32>) -> f64 {
    let all = score::logprobs(&model.net, &model.params.frozen(), &[tokens], 1.0, 1024).unwrap();
    -all[0].iter().map(|&l| f64::from(l)).sum::<f64>() / all[0].len() as f64
}

/// The file and the folder of what is expected of it.
fn files() -> Option<(PathBuf, PathBuf)> {
    Some((smollm2()?, shared("data/weights/smollm2-135m-instruct")?))
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn the_tokenizer_of_the_file_is_hugging_faces() {
    let Some((file, golden)) = files() else { return };
    let tokenizer = Tokenizer::of_model(&file).unwrap().expect("the file has a tokenizer");
    let rows = read_json(&golden.join("tokenizer_golden.json"));
    for row in rows.as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode_with_special(text), ids(&row["ids"]), "{text:?}");
    }
    assert_eq!((tokenizer.vocab_size(), tokenizer.eos(), tokenizer.bos()), (49_152, 2, None));
}

#[test]
fn the_numbers_are_those_of_transformers() {
    let Some((file, golden)) = files() else { return };
    let model = load(&file, &Device::Cpu).unwrap();
    assert_eq!(model.config().parameters(model.head()), Some(134_515_008));
    let golden = read_json(&golden.join("golden.json"));
    for chat in golden["chat"].as_array().unwrap() {
        let tokenizer = Tokenizer::of_model(&file).unwrap().unwrap();
        let prompt = ids(&chat["ids"]);
        assert_eq!(tokenizer.encode_with_special(chat["text"].as_str().unwrap()), prompt);
        let logits = last_logits(&model, &prompt);
        let (top, expected) = (ids(&chat["top10_ids"]), chat["top10_logits"].as_array().unwrap());
        for (&id, logit) in top.iter().zip(expected) {
            close(logits[id as usize], logit.as_f64().unwrap() as f32, 1e-2);
        }
        let rest = (0..logits.len()).filter(|id| !top.contains(&(*id as u32)));
        let least = expected.last().unwrap().as_f64().unwrap() as f32;
        assert!(rest.map(|id| logits[id]).fold(f32::MIN, f32::max) < least + 1e-2, "others are among the first ten");
        assert_eq!(greedy(&model, &prompt), ids(&chat["greedy_ids"]), "{}", chat["text"]);
    }
    let text = &golden["shakespeare_1500_chars"];
    let nll = mean_nll(&model, ids(&text["ids"]));
    let expected = text["mean_nll"].as_f64().unwrap();
    assert!((nll - expected).abs() < 1e-3, "{nll} nats a token, transformers has {expected}");
    println!("SmolLM2: {nll:.5} nats a token, transformers {expected:.5}");
}

fn last_logits(model: &Model, prompt: &[u32]) -> Vec<f32> {
    let (weights, segments) = (model.params.frozen(), Segments::from_lengths(&[prompt.len()]));
    let hidden = model.net.hidden(&weights, &Ids::new(prompt.to_vec()), &segments, None);
    let last = Ids::new(vec![prompt.len() as u32 - 1]);
    model.net.logits(&weights, &autograd::ops::index_select(&hidden, &last)).value().to_vec()
}

fn greedy(model: &Model, prompt: &[u32]) -> Vec<u32> {
    let sampling = Sampling { temperature: 0.0, top_k: 0, top_p: 1.0 };
    let config = GenerateConfig { max_new_tokens: 40, sampling, eos_ids: model.config().eos_ids.clone(), batch: 1 };
    let weights = model.params.frozen();
    generate(&model.net, &weights, &[prompt.to_vec()], &config, Rng::new(1), None, |_, _| true)
        .unwrap()
        .remove(0)
        .tokens
}
