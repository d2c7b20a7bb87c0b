//! Models of a run: made, read, and written with what belongs to them.

use super::card;
use crate::config::sections::{Shape, given};
use crate::error::{Failure, Kind, Result, library_failure};
use crate::hub;
use kernels::{Device, Rng};
use model::{Config, HeadKind, Model};
use rlhf_core::data::Processor;
use std::path::Path;

/// A language model with fresh numbers.
pub fn fresh(shape: &Shape, processor: &Processor, rng: Rng, device: &Device) -> Model {
    let (bos, eos_ids) = (Some(processor.eos), vec![processor.eos]);
    let config = Config { bos, eos_ids, ..config(shape, processor.tokenizer.vocab_size()) };
    Model::new(&config, HeadKind::Lm, rng, device)
}

/// The model of a directory, to answer with.
pub fn load(dir: &Path, device: &Device) -> Result<Model> {
    model::load(dir, device).map_err(library_failure)
}

/// A Hugging Face model directory. Every token that ends an answer is among those that it says; a reward model of
/// ours has no padding token that an answer ends with. Numbers that are not finite are never written.
pub fn save(model: &Model, dir: &Path, processor: &Processor) -> Result {
    let broken = kernels::count_non_finite(model.params.flat()).item();
    if broken > 0.0 {
        let what =
            format!("{broken} numbers of the model are NaN or infinite, so it is not written to {}", dir.display());
        return Err(Failure::new(Kind::Diverged, format!("training diverged: {what}. Lower the learning rate")));
    }
    let mut net = model.net.clone();
    net.config.eos_ids = processor.eos_ids.clone();
    if !processor.tokenizer.has_named_templates() {
        processor.template.write(dir).map_err(|e| Failure::write(dir, e))?;
    }
    match net.head_kind() {
        HeadKind::Lm => processor.tokenizer.save(dir),
        HeadKind::Score => {
            // one from elsewhere that was taught before its end is read there on
            let before = net.config.pad.is_some_and(|pad| processor.scored_at().contains(&pad));
            net.config.pad = if before { net.config.pad } else { processor.padding(net.config.pad) };
            processor.tokenizer.save_padding(dir, net.config.pad)
        }
    }?;
    let model = Model { net, params: model.params.clone() };
    model::save(dir, &model, None)?;
    model.net.lora.as_ref().map_or(Ok(()), |lora| card::write(dir, &model.net, lora, processor))
}

/// A second model of a stage, in a folder of its own beside the first.
pub fn save_beside(model: &Model, dir: &Path, name: &str, processor: &Processor) -> Result {
    let dir = dir.join(name);
    std::fs::create_dir_all(&dir).map_err(|e| Failure::write(&dir, e))?;
    save(model, &dir, processor)
}

/// The same body with a fresh head of one number: a reward model before its training, to be read at the end token.
/// One that is a reward model already stays as it is.
pub fn as_score(model: Model, rng: Rng, processor: &Processor) -> Model {
    let head = model.net.head_kind();
    let Model { mut net, params } = model.as_score(rng);
    if head == HeadKind::Lm {
        net.config.pad = net.config.pad.filter(|pad| !processor.scored_at().contains(pad)); // no score is read at it
    }
    Model { net, params }
}

/// The model of a size: one that is there already, or what the shape makes with such a vocabulary.
pub fn config_of(shape: &Shape, vocab: usize) -> Result<Config> {
    let Some(from) = given(&shape.from) else { return Ok(config(shape, vocab)) };
    let there = model::read_config(&hub::find(from)?)?;
    Ok(Config { context: there.context.min(shape.context), ..there })
}

/// What a recipe's size makes, with such a vocabulary.
fn config(shape: &Shape, vocab: usize) -> Config {
    let Shape { layers, channels, heads, context, .. } = *shape;
    let kv = if shape.kv_heads == 0 { heads } else { shape.kv_heads };
    let like = match shape.arch.as_str() {
        "llama" => Config::llama(vocab, context, layers, channels, heads, kv),
        _ => Config::gpt2(vocab, context, layers, channels, heads),
    };
    let intermediate_size = if shape.intermediate_size == 0 { like.intermediate_size } else { shape.intermediate_size };
    Config { intermediate_size, ..like }
}

/// Checkpoints are for resuming; a finished stage needs none.
pub fn drop_checkpoints(stage: &Path) -> Result {
    let dir = stage.join("checkpoints");
    match std::fs::remove_dir_all(&dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Failure::write(&dir, e)),
        _ => Ok(()),
    }
}
