//! Weights that PyTorch wrote, and what it computed with them.
use super::{close, shared};
use crate::{Config, GenerateConfig, HeadKind, Loaded, Transformer, generate, load, score};
use kernels::{Device, Ids, Rng, Sampling, Segments};
use serde_json::Value;
use std::path::Path;

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn last_logits(of: &Loaded, text: &[u32]) -> Vec<f32> {
    let (w, seg) = (of.params.frozen(), Segments::from_lengths(&[text.len()]));
    let hidden = of.transformer.hidden(&w, &text.into(), &seg, None);
    let last = autograd::ops::embed(&hidden, &Ids::new(vec![text.len() as u32 - 1]));
    of.transformer.logits(&w, &last).value().to_vec()
}

fn greedy(of: &Loaded, prompts: &[Vec<u32>], max_new: usize) -> Vec<Vec<u32>> {
    let config = GenerateConfig { max_new, sampling: Sampling::GREEDY, eos: vec![], batch: 2 };
    let w = of.params.frozen();
    let answers = generate(&of.transformer, &w, prompts, &config, Rng::new(0), None, |_, _| {}).unwrap();
    answers.into_iter().map(|a| a.tokens).collect()
}

#[test]
fn greedy_continuations() {
    for name in ["gpt2", "llama"] {
        let Some(dir) = shared(&format!("golden/{name}")) else { return };
        let model = load(&dir, &Device::Cpu).unwrap();
        let expect = json(&dir.join("expect.json"));
        let cases = expect["greedy"].as_array().unwrap();
        let prompts: Vec<_> = cases.iter().map(|case| ids(&case["prompt"])).collect();
        let wanted: Vec<_> = cases.iter().map(|case| ids(&case["continuation"])).collect();
        assert_eq!(greedy(&model, &prompts, wanted[0].len()), wanted, "{name}");
    }
}

#[test]
fn logits_of_a_small_gpt2() {
    let Some(dir) = shared("data/weights/hf-gpt2-fixtures/tiny-2x32") else { return };
    let model = load(&dir, &Device::Cpu).unwrap();
    let golden = json(&dir.join("golden.json"));
    close(&last_logits(&model, &ids(&golden["ids"][0])), &floats(&golden["logits_row0_last"]), 2e-6);
}

#[test]
fn scores_of_a_small_reward_model() {
    let Some(dir) = shared("data/weights/hf-gpt2-fixtures/rm-2x32") else { return };
    // This one comes without a config.json: give it one.
    let copy = tempfile::tempdir().unwrap();
    let config = Config { pad: Some(0), ..Config::gpt2(97, 64, 2, 32, 2) };
    std::fs::copy(dir.join("model.safetensors"), copy.path().join("model.safetensors")).unwrap();
    std::fs::write(copy.path().join("config.json"), config.to_hf(HeadKind::Score).to_string()).unwrap();
    let model = load(copy.path(), &Device::Cpu).unwrap();
    let golden = json(&dir.join("golden.json"));
    let texts = golden["ids"].as_array().unwrap().iter().map(|row| {
        let mut text = ids(row);
        while text.last() == Some(&0) {
            text.pop();
        }
        text
    });
    let all = score::scores(&model.transformer, &model.params.frozen(), &texts.collect::<Vec<_>>(), 30).unwrap();
    let last: Vec<f32> = all.iter().map(|scores| *scores.last().unwrap()).collect();
    close(&last, &floats(&golden["scores"]), 2e-6);
}

#[test]
fn a_real_llama_tells_its_story() {
    let Some(dir) = shared("data/weights/stories260K") else { return };
    let model = load(&dir.join("hf"), &Device::Cpu).unwrap();
    let golden = json(&dir.join("golden.json"));
    let prompt = ids(&golden["ids"]);
    close(&last_logits(&model, &prompt), &floats(&golden["logits_last"]), 1e-4);
    let story = ids(&golden["greedy_ids_100"]); // with its prompt
    assert_eq!(greedy(&model, &[prompt.clone()], story.len() - prompt.len()), [story[prompt.len()..].to_vec()]);
    let text = ids(&golden["eval_ids_512"]);
    let all = score::logprobs(&model.transformer, &model.params.frozen(), &[text], 1.0, 1000).unwrap();
    let mean = -all[0].iter().sum::<f32>() / all[0].len() as f32;
    close(&[mean], &floats(&Value::Array(vec![golden["eval_mean_nll_511"].clone()])), 2e-5);
}

#[test]
fn the_windows_cover_every_parameter_once() {
    for config in [super::gpt2(), super::llama()] {
        for head in [HeadKind::Lm, HeadKind::Score] {
            let (model, params) = Transformer::new(&config, head, Rng::new(0), &Device::Cpu);
            let windows = crate::hf_windows(&model);
            for (id, name, shape) in params.iter().filter(|(id, ..)| Some(*id) != model.score_bias()) {
                let mut next = 0;
                for window in windows.iter().filter(|w| w.param == id) {
                    assert_eq!(window.rows.start, next, "{name}");
                    next = window.rows.end;
                }
                assert_eq!(next, shape[0], "{name}");
            }
        }
    }
}
