//! The stages of the paper: tokenizer, pretraining, SFT, the start of PPO, the reward model, PPO and PPO-ptx.

use super::datasets::{Materials, Prompt};
use super::rankings::Rankings;
use super::runner::Pipeline;
use super::{stage_rng, too_little};
use crate::config::sections::Sft;
use crate::error::data_failure;
use crate::error::{Failure, Result};
use crate::error::{library_failure, train_failure};
use crate::rows;
use crate::training::loading;
use crate::training::memory::{self, Plan};
use crate::training::tokenizer as text;
use crate::training::{Model, Setup, config_of, configs};
use model::{BaseModels, Tokenizer};
use rlhf_core::data::{Codec, Example};
use rlhf_core::methods::ppo::{self, Ppo};
use rlhf_core::methods::{pretrain, rm, sft};
use rlhf_core::rollout::Episode;
use std::collections::HashMap;
use std::path::Path;

/// The tokenizer and template of models that are there already; they must be the same for all sizes.
pub fn codec_of_models(p: &Pipeline) -> Result<Option<Codec>> {
    let mut found: Option<Codec> = None;
    if !p.recipe.starts_from_models() {
        return Ok(None);
    }
    for size in p.recipe.sizes() {
        let path = p.stage_dir(&format!("{size}.base"));
        let mut codec = loading::codec_of(&path, &config_of(&p.recipe.model[size], 0)?)?;
        if found.as_ref().is_some_and(|f| !f.tokenizer.same_as(&codec.tokenizer)) {
            return Err(Failure::usage(format!("{}: its tokenizer is not that of the other sizes", path.display())));
        }
        codec.context = found.map_or(codec.context, |f| f.context.min(codec.context));
        found = Some(codec);
    }
    Ok(found)
}

/// Before anything runs: the reward model can read what every size writes, and a reward model that is there already
/// has the same tokens. No sequence is longer than it reads.
pub fn check_judge(p: &Pipeline, codec: &mut Codec) -> Result {
    let tokens = codec.tokenizer.vocab_size();
    let rows = |size: &str| -> Result<usize> { Ok(config_of(&p.recipe.model[size], tokens)?.vocab) };
    let (judge, theirs) = match p.recipe.has_rm() {
        false => return Ok(()),
        true if p.recipe.makes("rm") => (format!("size {}", p.recipe.rm_size()).into(), rows(p.recipe.rm_size())?),
        true => {
            let path = p.stage_dir("rm");
            let config = model::read_config(&path).map_err(library_failure)?;
            loading::check_tokens(&path, codec)?;
            codec.context = codec.context.min(config.context);
            (path, config.vocab)
        }
    };
    p.recipe.sizes().into_iter().try_for_each(|size| loading::check_rows(&judge, theirs, rows(size)?))
}

/// A byte-level BPE of the training text; every text can be written with it.
pub fn tokenizer(pipeline: &mut Pipeline, materials: &Materials) -> Result<Codec> {
    let section = pipeline.recipe.tokenizer.clone();
    pipeline.stage("tokenizer", |_, dir| {
        // Markers and roles of the prompts come first: they may occur in the demonstrations only.
        let some = materials.demonstrations.iter().take(200).cloned().collect::<Vec<_>>();
        let shown = rows::pairs(&some, &materials.template)?;
        let shown = shown.iter().take(200).flat_map(|(p, c)| [p, c]);
        let texts: Vec<&String> = shown.chain(&materials.text).collect();
        let tokenizer = text::learn(&texts, &section);
        tokenizer.save(dir).map_err(library_failure)?;
        Ok(Some(tokenizer.vocab_size()))
    })?;
    let file = pipeline.stage_dir("tokenizer").join("tokenizer.json");
    let tokenizer = Tokenizer::from_file(&file).map_err(library_failure)?;
    let context = pipeline.recipe.model.values().map(|s| s.context).min().expect("check() made sure of a size");
    text::own(tokenizer, context, materials.template.clone())
}

fn training_windows(p: &Pipeline, codec: &Codec, materials: &Materials) -> Result<Vec<Example>> {
    let windows = codec.windows(&materials.text, stage_rng(p.recipe, "windows"));
    if windows.is_empty() { Err(too_little("there is no text to pretrain on")) } else { Ok(windows) }
}

/// Pretraining from fresh numbers.
pub fn base(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str) -> Result {
    let name = format!("{size}.base");
    pipeline.stage(&name, |p, dir| {
        let rng = stage_rng(p.recipe, &name);
        let windows = training_windows(p, codec, materials)?;
        let section = &p.recipe.pretrain;
        let start = Model::new(&p.recipe.model[size], codec, rng.stream("init"), &p.device);
        let start = Setup::from(section).apply(start.net, start.params);
        let config = configs::pretrain(section, size);
        let mut run = p.reporter.training(&name, dir, section.save_every);
        let params =
            pretrain::train(&start.net, start.params, &windows, &config, rng, &mut run).map_err(train_failure)?;
        save(&Model { params, net: start.net }, dir, codec)
    })
}

/// The model that the paper compares with: many epochs over the demonstrations.
pub fn sft(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str) -> Result {
    let section = &pipeline.recipe.sft;
    tune(pipeline, codec, materials, size, "sft", section)
}

/// The model that PPO starts from and is held near: two epochs, a tenth of pretraining text.
pub fn init(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str) -> Result {
    let section = &pipeline.recipe.init;
    tune(pipeline, codec, materials, size, "init", section)
}

fn demonstrations(codec: &Codec, materials: &Materials) -> Result<Vec<Example>> {
    codec.demonstrations(&materials.demonstrations).map_err(data_failure)
}

/// Says what of the data did not fit into the context.
pub fn tell_cuts(p: &Pipeline, codec: &Codec, what: &str) {
    if let Some(report) = codec.cut_report() {
        p.reporter.say(&format!("{what}: {report}"));
    }
}

fn tune(p: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str, kind: &str, section: &Sft) -> Result {
    let name = format!("{size}.{kind}");
    p.stage(&name, |p, dir| {
        let rng = stage_rng(p.recipe, &name);
        let from = p.stage_dir(&format!("{size}.base"));
        let base = Setup::from(section).load(&from, rng, &p.device, &mut BaseModels::default())?;
        let demonstrations = demonstrations(codec, materials)?;
        tell_cuts(p, codec, "demonstrations");
        let windows = if section.pretrain_mix > 0.0 { training_windows(p, codec, materials)? } else { Vec::new() };
        let mut run = p.reporter.training(&name, dir, section.save_every);
        let config = configs::sft(section, size);
        let params = sft::train(&base.net, base.params, &demonstrations, &windows, &config, rng, &mut run);
        save(&Model { params: params.map_err(train_failure)?, net: base.net }, dir, codec)
    })
}

/// All comparisons of a prompt are one element of a batch; afterwards a bias makes demonstrations score 0 on average.
pub fn reward_model(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, rankings: &Rankings) -> Result {
    pipeline.stage("rm", |p, dir| {
        let section = &p.recipe.rm;
        let rng = stage_rng(p.recipe, "rm");
        let from = p.stage_dir(&format!("{}.{}", p.recipe.rm_size(), section.from));
        let start = Setup::from(section).load(&from, rng, &p.device, &mut BaseModels::default())?;
        let start = start.as_score(rng.stream("head"), codec);
        let need = Plan::of_model(&start, &Setup::from(section)).ranking(&rankings.train, section);
        memory::check(&need, &p.device)?;
        let mut run = p.reporter.training("rm", dir, section.save_every);
        let params = rm::train(&start.net, start.params, &rankings.train, &configs::rm(section), rng, &mut run);
        let mut params = params.map_err(train_failure)?;
        if !materials.demonstrations.is_empty() {
            rm::center(&start.net, &mut params, &demonstrations(codec, materials)?, section.token_budget);
        }
        save(&Model { params, net: start.net }, dir, codec)
    })
}

/// PPO from the two-epoch SFT against the reward model.
pub fn ppo(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str) -> Result {
    optimise(pipeline, codec, materials, size, false)
}

/// The same with pretraining gradients mixed into every step.
pub fn ppo_ptx(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str) -> Result {
    optimise(pipeline, codec, materials, size, true)
}

/// What is kept, and evaluated, is the average of the weights.
fn optimise(pipeline: &mut Pipeline, codec: &Codec, materials: &Materials, size: &str, ptx: bool) -> Result {
    let name = format!("{size}.{}", if ptx { "ppo_ptx" } else { "ppo" });
    pipeline.stage(&name, |p, dir| {
        let section = &p.recipe.ppo;
        let config = configs::ppo(section, size, if ptx { section.ptx_coef } else { 0.0 });
        let (tuning, mut bases) = (Setup::from(section), BaseModels::default());
        let mut load = |from: &str| tuning.load(&p.stage_dir(from), stage_rng(p.recipe, &name), &p.device, &mut bases);
        let (start, judge) = (load(&format!("{size}.{}", p.recipe.ppo_start()))?, load("rm")?);
        let prompts: Vec<Vec<u32>> = materials
            .ppo_prompts
            .iter()
            .map(|t| t.ids(codec, config.sampling.max_new_tokens))
            .collect::<Result<_>>()?;
        tell_cuts(p, codec, "prompts");
        let windows = if ptx { training_windows(p, codec, materials)? } else { Vec::new() };
        let gold = gold_watcher(p, codec, materials, &prompts);
        let reward = |episodes: &[Episode]| {
            gold(episodes);
            let sequences: Vec<Vec<u32>> = episodes.iter().map(Episode::sequence).collect();
            rm::score(&judge.net, &judge.params, &sequences, config.compute.token_budget)
        };
        let players = Ppo {
            policy: &start.net,
            policy_params: start.params.clone(),
            reference: (&start.net, &start.params),
            value: &judge.net,
            value_params: judge.params.clone(),
            reward: &reward,
            eos: &codec.ends,
        };
        let mut run = p.reporter.training(&name, dir, section.save_every);
        let outcome = ppo::train(players, &prompts, &windows, &config, stage_rng(p.recipe, &name), &mut run);
        let outcome = outcome.map_err(train_failure)?;
        save_beside(&Model { net: judge.net.clone(), params: outcome.value }, dir, "value", codec)?;
        let kept = if config.ema > 0.0 { outcome.ema } else { outcome.policy };
        save(&Model { net: start.net.clone(), params: kept }, dir, codec)
    })
}

/// Notes the mean gold score of each rollout batch, where there is gold. The training never sees it.
fn gold_watcher<'a>(
    p: &'a Pipeline,
    codec: &'a Codec,
    materials: &'a Materials,
    prompts: &[Vec<u32>],
) -> impl Fn(&[Episode]) + 'a {
    let by_tokens: HashMap<Vec<u32>, &Prompt> = prompts.iter().cloned().zip(&materials.ppo_prompts).collect();
    move |episodes| {
        let Some(judges) = &materials.judges else { return };
        let score = |e: &Episode| judges.gold(by_tokens[&e.prompt], &codec.text(&e.response), e.ended).score;
        let mean = episodes.iter().map(score).sum::<f64>() / episodes.len().max(1) as f64;
        p.reporter.add("gold", mean);
    }
}

fn save(model: &Model, dir: &Path, codec: &Codec) -> Result<Option<usize>> {
    model.save(dir, codec)?;
    Ok(None)
}

/// A second model of the stage, in a folder of its own.
fn save_beside(model: &Model, dir: &Path, name: &str, codec: &Codec) -> Result {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).map_err(|e| Failure::write(&dir, e))?;
    model.save(&dir, codec)
}
