//! A completion by a model directory or a .gguf file of yours, token by token as it is drawn.
//! `cargo run --release --example generate MODEL 'Once upon a time'`
use kernels::{Device, Rng, Sampling};
use model::{GenerateConfig, Tokenizer, generate, load_to_answer};
use std::error::Error;
use std::io::Write;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, prompt] = &arguments[..] else { return Err("two arguments: MODEL PROMPT".into()) };
    let model = load_to_answer(Path::new(path), &Device::Cpu)?;
    let tokenizer = Tokenizer::of_model(Path::new(path))?.ok_or("this model has no tokenizer")?;

    let prompt_ids = tokenizer.encode_start(prompt);
    let max_new_tokens = model.config().context.saturating_sub(prompt_ids.len()).min(64);
    let sampling = Sampling { temperature: 0.8, top_k: 0, top_p: 0.95 };
    let config = GenerateConfig { max_new_tokens, sampling, eos_ids: vec![tokenizer.eos()], batch: 1 };
    let (weights, mut text) = (model.params.decoding(), tokenizer.stream(false));
    print!("{prompt}");
    generate(&model.net, &weights, &[prompt_ids], &config, Rng::new(1), None, |_, token| {
        print!("{}", text.push(token));
        std::io::stdout().flush().is_ok()
    })?;
    println!("{}", text.finish());
    Ok(())
}
