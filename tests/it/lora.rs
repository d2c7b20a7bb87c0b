//! Adapters in the loops and by the binary: one frozen model under policy, reference, reward and value, which no step
//! touches. What adapters compute is tested in the model crate.

use crate::cli::{file, path, refuses, rlhf, scratch, stderr, stdout};
use crate::rlhf::{
    EOS, VOCAB, count_letter, demonstrations, interrupted, listening, named, optim, ppo_config, prompts, rankings,
};
use crate::support::tiny;
use autograd::Params;
use kernels::{Device, Rng};
use model::{BaseModels, HeadKind, Model, Transformer, lora};
use rlhf_core::methods::ppo::{self, Models, Outcome};
use rlhf_core::methods::{rm, sft};
use rlhf_core::train::{Run, TrainError};
use std::fs;
use std::sync::Arc;

struct Adapted {
    policy: (Transformer, Params),
    value: (Transformer, Params),
}

/// Policy and value upon one frozen model.
fn adapted(seed: u64) -> Adapted {
    let dir = tempfile::tempdir().unwrap();
    let (model, params) = tiny(VOCAB, HeadKind::Lm, seed);
    model::save(dir.path(), &Model { net: model, params }, None).unwrap();
    let on = BaseModels::default().open(dir.path(), &Device::Cpu).unwrap();
    let modules = lora::modules(&on.net, "all-linear").unwrap();
    let [policy, value] = [HeadKind::Lm, HeadKind::Score].map(|head| {
        let Model { net, params } = lora::attach(&on, 4, 8.0, &modules, head, Rng::new(seed));
        (net, params)
    });
    Adapted { policy, value }
}

fn everything(params: &Params, model: &Transformer) -> Vec<f32> {
    model::tensor_maps(model).iter().map(|map| map.param).flat_map(|id| params.base().get(id).to_vec()).collect()
}

#[test]
fn sft_learns_with_adapters_alone_and_resumes_bit_for_bit() {
    let Adapted { policy: (model, params), .. } = adapted(21);
    let before = everything(&params, &model);
    let demos = demonstrations(20);
    let config = sft::Config { epochs: 40.0, batch: 20, optim: optim(1e-2), dropout: 0.0, ..sft::Config::default() };
    let (mut run, told) = listening();
    let trained = sft::train(&model, params.clone(), &demos, &[], &config, Rng::new(1), &mut run).unwrap();
    let losses: Vec<f64> = told.borrow().iter().map(|m| named(m, "loss")).collect();
    assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{losses:?}");
    assert!(Arc::ptr_eq(trained.base(), params.base()));
    assert!(everything(&trained, &model) == before, "the frozen model has changed");

    let config = sft::Config { epochs: 2.0, batch: 7, ..config };
    let [whole, resumed] = interrupted(3, |run| {
        sft::train(&model, params.clone(), &demos, &[], &config, Rng::new(1), run).map(|p| p.flat().to_vec())
    });
    assert!(whole == resumed);
}

#[test]
fn reward_model_learns_with_adapters_and_a_head() {
    let Adapted { value: (model, params), .. } = adapted(22);
    let config = rm::Config { epochs: 20.0, batch: 24, optim: optim(1e-2), ..rm::Config::default() };
    let data = rankings(48);
    let trained = rm::train(&model, params, &data, &config, Rng::new(1), &mut Run::quiet()).unwrap();
    let accuracy = rm::accuracy(&model, &trained, &data, 1000).rate;
    assert!(accuracy > 0.9, "{accuracy}");
}

fn train(adapted: &Adapted, config: &ppo::Config, run: &mut Run) -> Result<Outcome, TrainError> {
    let models = Models {
        policy: &adapted.policy.0,
        policy_params: adapted.policy.1.clone(),
        reference: (&adapted.policy.0, &adapted.policy.1),
        value: &adapted.value.0,
        value_params: adapted.value.1.clone(),
        reward: &count_letter,
        eos_ids: &[EOS],
    };
    ppo::train(models, &prompts(24), &[], config, Rng::new(1), run)
}

#[test]
fn ppo_shares_one_frozen_model() {
    let adapted = adapted(23);
    let before = everything(&adapted.policy.1, &adapted.policy.0);
    let config = ppo::Config { episodes: 24 * 30, optim: optim(1e-2), value_lr: 1e-2, kl_coef: 0.0, ..ppo_config() };
    let (mut run, told) = listening();
    let outcome = train(&adapted, &config, &mut run).unwrap();
    let told = told.borrow();
    let scores: Vec<f64> = told.iter().map(|m| named(m, "objective/scores")).collect();
    assert!(scores[scores.len() - 1] > scores[0] + 1.0, "{scores:?}");
    assert!(named(&told[0], "objective/kl").abs() < 1e-4, "policy and reference start as one");
    for params in [&outcome.policy, &outcome.ema, &outcome.value] {
        assert!(Arc::ptr_eq(params.base(), adapted.policy.1.base()));
    }
    assert!(everything(&outcome.policy, &adapted.policy.0) == before);

    let all = |o: Outcome| [o.policy, o.ema, o.value].map(|p| p.flat().to_vec()).concat();
    let [whole, resumed] =
        interrupted(2, |run| train(&adapted, &ppo::Config { ema: 0.9, ..ppo_config() }, run).map(all));
    assert!(whole == resumed);
}

/// SFT, reward model and PPO by the binary, then every verb that reads a model.
#[test]
fn the_binary_trains_reads_and_merges_adapters() {
    let base = path(&["S.base"]);
    let demos = file("lora_demos.jsonl", "{\"prompt\": \"a cow\", \"completion\": \" eats grass\"}\n".repeat(6));
    let pair = "{\"prompt\": \"a cow\", \"chosen\": \" eats grass\", \"rejected\": \" is a boat\"}\n";
    let pairs = file("lora_pairs.jsonl", pair.repeat(6));
    let at = |name: &str| scratch().join(name).to_str().unwrap().to_string();
    let [sft, rm, ppo, whole] = ["lora_sft", "lora_rm", "lora_ppo", "lora_whole"].map(at);
    let small = ["--device", "cpu", "--batch", "4", "--checkpointing", "--lora-rank", "4"];
    let good = |args: &[&str]| {
        let output = rlhf(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    let (_, said) =
        good(&[&["sft", "--model", &base, "--data", &demos, "--out", &sft, "--lr", "1e-2"], &small[..]].concat());
    assert!(said.contains("memory: at most") && said.contains("optimizer"), "{said}");
    good(&[&["rm", "--model", &sft, "--data", &pairs, "--out", &rm, "--holdout", "0"], &small[..]].concat());
    let players = ["ppo", "--model", &sft, "--reward", &rm, "--data", &demos, "--out", &ppo];
    let few = ["--episodes", "8", "--minibatch", "4", "--max-new", "4", "--precision", "bf16"];
    good(&[&players[..], &few, &small].concat());
    assert!(fs::metadata(scratch().join("lora_ppo/adapter_config.json")).is_ok());
    assert!(fs::metadata(scratch().join("lora_ppo/value/adapter_model.safetensors")).is_ok());

    good(&["merge", "--model", &ppo, "--out", &whole]);
    let text = |dir: &str| good(&["generate", "--model", dir, "--prompt", "a cow", "--greedy", "--max-new", "8"]).0;
    assert_eq!(text(&ppo), text(&whole));
    good(&["reward", "--model", &rm, "--data", &pairs]);
    good(&["score", "--model", &ppo, "--data", &demos, "--precision", "bf16"]);
    assert!(good(&["inspect", &ppo]).0.contains("rank 4"));

    refuses(&["merge", "--model", &base, "--out", &at("lora_no")], 2, &["adapter_config.json"]);
    let again = ["sft", "--model", &sft, "--data", &demos, "--out", &at("lora_again"), "--lora-rank", "3"];
    refuses(&again, 2, &["adapter of rank 4", "rlhf merge"]);
    let other = ["sft", "--model", &base, "--data", &demos, "--out", &at("lora_t"), "--lora-rank", "3"];
    refuses(&[&other[..], &["--lora-targets", "c_attn"]].concat(), 2, &["lora_targets", "`c_attn`", "q_proj"]);
    let precise = ["sft", "--model", &base, "--data", &demos, "--out", &at("lora_p"), "--precision", "f16"];
    refuses(&precise, 2, &["f16", "bf16"]);
}
