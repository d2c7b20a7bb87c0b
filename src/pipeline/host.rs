//! The pipeline as the host of a stage: models and data are what came before it.

use super::datasets::{Datasets, too_little};
use super::rankings::Rankings;
use super::runner::Pipeline;
use crate::error::{Failure, Result};
use crate::rows;
use crate::stages::{Host, Stage};
use crate::training::memory::{self, Need};
use crate::training::tokenizer as text;
use crate::training::{Setup, config_of, fresh, loading, save, save_beside};
use kernels::Rng;
use model::{BaseModels, HeadKind, Model, Tokenizer};
use rlhf_core::data::{Example, Processor, Ranking};
use rlhf_core::rollout::Episode;
use rlhf_core::train::Run;
use std::path::Path;
use toml::Table;

/// The tokenizer and template of models that are there already; they must be the same for all sizes.
pub fn processor_of_models(p: &Pipeline) -> Result<Option<Processor>> {
    let mut found: Option<Processor> = None;
    if !p.recipe.starts_from_models() {
        return Ok(None);
    }
    for size in p.recipe.sizes() {
        let path = p.stage_dir(&format!("{size}.base"));
        let mut processor = loading::processor_of(&path, &config_of(&p.recipe.model[size], 0)?)?;
        if found.as_ref().is_some_and(|f| !f.tokenizer.same_as(&processor.tokenizer)) {
            return Err(Failure::usage(format!("{}: its tokenizer is not that of the other sizes", path.display())));
        }
        processor.context = found.map_or(processor.context, |f| f.context.min(processor.context));
        found = Some(processor);
    }
    Ok(found)
}

/// Before anything runs: the reward model can read what every size writes, and a reward model that is there already
/// has the same tokens. No sequence is longer than it reads.
pub fn check_judge(p: &Pipeline, processor: &mut Processor) -> Result {
    let tokens = processor.tokenizer.vocab_size();
    let rows = |size: &str| -> Result<usize> { Ok(config_of(&p.recipe.model[size], tokens)?.vocab) };
    let (judge, theirs) = match p.recipe.has_rm() {
        false => return Ok(()),
        true if p.recipe.makes("rm") => (format!("size {}", p.recipe.rm_size()).into(), rows(p.recipe.rm_size())?),
        true => {
            let path = p.stage_dir("rm");
            let config = model::read_config(&path)?;
            loading::check_tokens(&path, processor)?;
            processor.context = processor.context.min(config.context);
            (path, config.vocab)
        }
    };
    p.recipe.sizes().into_iter().try_for_each(|size| loading::check_rows(&judge, theirs, rows(size)?))
}

/// A byte-level BPE of the training text; every text can be written with it.
pub fn tokenizer(pipeline: &mut Pipeline, datasets: &Datasets) -> Result<Processor> {
    let section = pipeline.recipe.tokenizer.clone();
    pipeline.stage("tokenizer", |_, dir| {
        // Markers and roles of the prompts come first: they may occur in the demonstrations only.
        let some = datasets.demonstrations.iter().take(200).cloned().collect::<Vec<_>>();
        let shown = rows::pairs(&some, &datasets.template)?;
        let shown = shown.iter().take(200).flat_map(|(p, c)| [p, c]);
        let texts: Vec<&String> = shown.chain(&datasets.text).collect();
        let tokenizer = text::learn(&texts, &section);
        tokenizer.save(dir)?;
        Ok(Some(tokenizer.vocab_size()))
    })?;
    let file = pipeline.stage_dir("tokenizer").join("tokenizer.json");
    let tokenizer = Tokenizer::from_file(&file)?;
    let context = pipeline.recipe.model.values().map(|s| s.context).min().expect("check() made sure of a size");
    text::own(tokenizer, context, datasets.template.clone())
}

/// Does a stage of the recipe, if it was not done before.
pub fn run(
    pipeline: &mut Pipeline,
    stage: &'static Stage,
    size: &str,
    processor: &Processor,
    datasets: &Datasets,
    rankings: Option<&Rankings>,
) -> Result {
    let name = stage.of_size(size);
    pipeline.stage(&name, |p, dir| {
        let (keys, rng) = (stage.keys(p.recipe, size), p.rng(&name));
        let name = &name;
        (stage.body)(&mut OfPipeline { p, stage, size, name, dir, keys, rng, processor, datasets, rankings })?;
        Ok(None)
    })
}

struct OfPipeline<'a> {
    p: &'a Pipeline<'a>,
    stage: &'static Stage,
    size: &'a str,
    name: &'a str,
    dir: &'a Path,
    keys: Table,
    rng: Rng,
    processor: &'a Processor,
    datasets: &'a Datasets,
    rankings: Option<&'a Rankings>,
}

impl Host for OfPipeline<'_> {
    fn keys(&self) -> &Table {
        &self.keys
    }

    fn rng(&self) -> Rng {
        self.rng
    }

    fn processor(&self) -> &Processor {
        self.processor
    }

    fn start(&mut self, setup: &Setup, bases: &mut BaseModels, head: Option<HeadKind>) -> Result<Model> {
        let recipe = self.p.recipe;
        match (self.stage.from)(recipe) {
            None => {
                let shape = &recipe.model[self.size];
                let fresh = fresh(shape, self.processor, self.rng.stream("init"), &self.p.device);
                Ok(setup.apply(fresh.net, fresh.params))
            }
            Some(from) => {
                let dir = self.p.stage_dir(&format!("{}.{from}", self.size));
                let model = setup.load(&dir, self.rng, &self.p.device, bases)?;
                loading::check_head(&dir, model.net.head_kind(), head)?;
                Ok(model)
            }
        }
    }

    fn reward_model(&mut self, setup: &Setup, bases: &mut BaseModels, policy: &Model) -> Result<Model> {
        let dir = self.p.stage_dir("rm");
        let judge = setup.load(&dir, self.rng, &self.p.device, bases)?;
        loading::check_head(&dir, judge.net.head_kind(), Some(HeadKind::Score))?;
        loading::check_rows(&dir, judge.net.config.vocab, policy.net.config.vocab)?;
        Ok(judge)
    }

    fn text(&mut self, _: &str) -> Result<Vec<Example>> {
        let blocks = self.processor.windows(&self.datasets.text, self.p.rng("windows"));
        if blocks.is_empty() { Err(too_little("there is no text to pretrain on")) } else { Ok(blocks) }
    }

    fn demonstrations(&mut self) -> Result<Vec<Example>> {
        let rows = &self.datasets.demonstrations;
        if rows.is_empty() && !self.stage.per_size {
            return Ok(Vec::new()); // a reward model does without
        }
        let examples = self.processor.demonstrations(rows)?;
        self.p.tell_cuts(self.processor, "demonstrations");
        Ok(examples)
    }

    fn rankings(&mut self) -> Result<[Vec<Ranking>; 2]> {
        // What is held out the evaluation measures.
        Ok([self.rankings.map_or_else(Vec::new, |r| r.train.clone()), Vec::new()])
    }

    fn prompts(&mut self, room: usize) -> Result<Vec<Vec<u32>>> {
        let prompts = &self.datasets.ppo_prompts;
        let prompts = prompts.iter().map(|t| t.ids(self.processor, room)).collect::<Result<_>>()?;
        self.p.tell_cuts(self.processor, "prompts");
        Ok(prompts)
    }

    /// The gold score, where there is gold.
    fn watch(&self, episodes: &[Episode]) -> Vec<(&'static str, Vec<f64>)> {
        let Some(judges) = &self.datasets.judges else { return Vec::new() };
        let score = |e: &Episode| {
            judges.gold(&self.datasets.ppo_prompts[e.number], &self.processor.text(&e.completion), e.ended).score
        };
        vec![("gold", episodes.iter().map(score).collect())]
    }

    fn begin(&mut self) -> Result {
        Ok(())
    }

    fn fits(&self, need: &Need) -> Result {
        memory::check(need, &self.p.device)
    }

    fn training(&self, save_every: usize) -> Run {
        self.p.reporter.training(self.name, self.dir, save_every)
    }

    fn log_failure(&self) -> Option<Failure> {
        self.p.reporter.failure()
    }

    fn save_beside(&self, name: &str, model: &Model) -> Result {
        save_beside(model, self.dir, name, self.processor)
    }

    fn finish(&mut self, model: &Model) -> Result {
        save(model, self.dir, self.processor)
    }

    fn print(&self, line: &str, _: serde_json::Value) {
        self.p.reporter.say(line);
    }
}
