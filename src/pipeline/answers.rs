//! Answers of a model to prompts, as text and as tokens.

use super::prompt::Prompt;
use crate::error::Result;
use kernels::{Rng, Sampling};
use model::{GenerateConfig, Model, generate};
use rlhf_core::data::Processor;

#[derive(Clone, Debug)]
pub struct Answer {
    pub prompt: Vec<u32>,
    /// With its end token, if it has one.
    pub tokens: Vec<u32>,
    pub text: String,
    pub ended: bool,
}

impl Answer {
    pub fn sequence(&self) -> Vec<u32> {
        [&self.prompt[..], &self.tokens].concat()
    }
}

/// A model and how it is asked.
#[derive(Clone)]
pub struct Sampler {
    pub model: Model,
    /// Worked examples come before the prompt, and the answer is its first line: the paper's "GPT (prompted)".
    pub shots: bool,
}

/// How many answers grow side by side.
const BATCH: usize = 64;

impl Sampler {
    /// One answer to each prompt. Answer i draws from stream i of `rng`, whatever the batch.
    pub fn answer(
        &self,
        processor: &Processor,
        prompts: &[&Prompt],
        temperature: f64,
        max_new: usize,
        rng: Rng,
        tick: impl Fn(usize) -> Result,
    ) -> Result<Vec<Answer>> {
        let ids = |p: &&Prompt| match self.shots {
            true => Ok(processor.prompt(&format!("{}{}", p.shots, p.text), max_new)),
            false => p.ids(processor, max_new),
        };
        let asked: Vec<Vec<u32>> = prompts.iter().map(ids).collect::<Result<_>>()?;
        let sampling = Sampling { temperature: temperature as f32, top_k: 0, top_p: 1.0 };
        let mut eos = processor.eos_ids.clone();
        if self.shots {
            eos.extend(line_ends(processor));
        }
        let config = GenerateConfig { max_new_tokens: max_new, sampling, eos_ids: eos, batch: BATCH };
        let mut out = Vec::with_capacity(asked.len());
        // In chunks, so that there is progress to show; a multiple of the batch keeps its slots full.
        for (chunk, some) in asked.chunks(8 * BATCH).enumerate() {
            let first = chunk * 8 * BATCH;
            let streams: Vec<u32> = (first..first + some.len()).map(|i| i as u32).collect();
            let weights = self.model.params.frozen();
            let made = generate(&self.model.net, &weights, some, &config, rng, Some(&streams), |_, _| true);
            let made = made?;
            out.extend(some.iter().zip(made).map(|(prompt, g)| answer(processor, prompt, g.tokens, g.ended)));
            tick(out.len())?;
        }
        Ok(out)
    }
}

/// The tokens with a line break in them: any of them ends a prompted base model's answer.
fn line_ends(processor: &Processor) -> Vec<u32> {
    let vocab = processor.tokenizer.vocab_size() as u32;
    (0..vocab).filter(|&id| id != processor.eos && processor.tokenizer.piece(id).contains(&b'\n')).collect()
}

fn answer(processor: &Processor, prompt: &[u32], tokens: Vec<u32>, ended: bool) -> Answer {
    let text = processor.text(&tokens);
    let text = if ended { text.trim_end_matches('\n').to_string() } else { text };
    Answer { prompt: prompt.to_vec(), tokens, text, ended }
}
