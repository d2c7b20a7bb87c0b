//! The fast way equals the plain way: a ragged batch and each of its sequences alone, the KV cache and the
//! whole forward pass, micro-batches and one batch, checkpointed blocks and kept ones, a GPU and the CPU.
use crate::gpu;
use autograd::{AdamW, AdamWConfig, Grads, Params, Var, Weights, ops};
use kernels::{Device, Ids, Rng, Sampling, Segments};
use model::{Arch, Config, GenerateConfig, HeadKind, Model, Transformer, arch, generate};

/// Relative difference that the order of f32 sums may make.
const ROUNDING: f32 = 1e-5;
/// What a GPU's own exp and tanh may make of it, too.
const GPU: f32 = 1e-4;

/// One of each kind: learned positions and biases; rotary positions and shared key/value heads; a window; norms of
/// heads; attention and MLP side by side, with heads of which a part turns.
fn models() -> Vec<(Transformer, Params)> {
    let of = |arch: &Arch, kv| Config::new(arch, 61, 40, 2, 32, 4, kv);
    let configs = [
        Config::gpt2(61, 40, 2, 24, 3),
        of(&arch::llama::ARCH, 2),
        Config { sliding_window: Some(3), ..of(&arch::mistral::ARCH, 2) },
        of(&arch::qwen3::ARCH, 1),
        of(&arch::gpt_neox::ARCH, 4),
    ];
    let make = |config: &Config| {
        let Model { net: model, mut params } = Model::new(config, HeadKind::Lm, Rng::new(11), &Device::Cpu);
        // larger than a fresh model's, so that what it says differs from place to place
        kernels::scale_in_place(params.flat_mut(), 4.0);
        // but not the gains of queries and keys: attention of scores times 16 is no longer the same on two devices
        let gains = params.iter().filter(|(_, name, _)| name.ends_with("q_norm.gain") || name.ends_with("k_norm.gain"));
        for id in gains.map(|(id, ..)| id).collect::<Vec<_>>() {
            params.set(id, &vec![1.0; params.get(id).len()]);
        }
        (model, params)
    };
    configs.iter().map(make).collect()
}

/// Sequences of these lengths, tokens at random.
fn sequences(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut draws = Rng::new(5).stream("sequences").draws();
    lengths.iter().map(|&length| (0..length).map(|_| draws.below(61) as u32).collect()).collect()
}

fn ragged(sequences: &[Vec<u32>]) -> (Ids, Segments) {
    (Ids::new(sequences.concat()), Segments::from_lengths(&sequences.iter().map(Vec::len).collect::<Vec<_>>()))
}

fn logits(model: &Transformer, w: &Weights, sequences: &[Vec<u32>]) -> Vec<f32> {
    let (tokens, segments) = ragged(sequences);
    model.logits(w, &model.hidden(w, &tokens, &segments, None)).value().to_vec()
}

/// Sum, not mean, of the negative log-probabilities of every next token.
fn loss(model: &Transformer, w: &Weights, sequences: &[Vec<u32>], dropout: model::Dropout) -> Var {
    let (tokens, segments) = ragged(sequences);
    let hidden = model.hidden(w, &tokens, &segments, dropout);
    let rows = (0..segments.count()).flat_map(|b| segments.range(b).start as u32..segments.range(b).end as u32 - 1);
    let rows: Vec<u32> = rows.collect();
    let targets = rows.iter().map(|&row| tokens.host()[row as usize + 1]).collect();
    -ops::sum(&ops::logprob(&model.logits(w, &ops::index_select(&hidden, &rows.into())), &Ids::new(targets)))
}

#[track_caller]
fn close(what: &str, ours: &[f32], theirs: &[f32]) {
    within(ROUNDING, what, ours, theirs);
}

#[track_caller]
fn within(tolerance: f32, what: &str, ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let size = theirs.iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let worst = ours.iter().zip(theirs).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
    assert!(worst <= tolerance * size, "{what}: off by {worst:e} where numbers are up to {size:e}");
}

fn bits(grads: &Grads) -> Vec<u32> {
    grads.flat().to_vec().iter().map(|g| g.to_bits()).collect()
}

#[test]
fn a_ragged_batch_is_each_sequence_alone() {
    for (model, params) in models() {
        let (w, sequences) = (params.frozen(), sequences(&[7, 1, 40, 2, 19]));
        let together = logits(&model, &w, &sequences);
        let alone: Vec<f32> = sequences.iter().flat_map(|s| logits(&model, &w, std::slice::from_ref(s))).collect();
        close("logits", &together, &alone);
    }
}

#[test]
fn accumulated_micro_batches_are_the_whole_batch() {
    for (model, params) in models() {
        let sequences = sequences(&[7, 3, 40, 2, 19]);
        let (mut whole, mut parts) = (params.grads(), params.grads());
        let (total, ()) = params.backprop(&mut whole, |w| (loss(&model, w, &sequences, None), ()));
        let mut sum = 0.0;
        for part in [&sequences[..1], &sequences[1..3], &sequences[3..]] {
            sum += params.backprop(&mut parts, |w| (loss(&model, w, part, None), ())).0;
        }
        close("loss", &[sum], &[total]);
        for (id, name, _) in params.iter() {
            close(name, &parts.get(id).to_vec(), &whole.get(id).to_vec());
        }
    }
}

#[test]
fn checkpointed_blocks_are_kept_ones_bit_for_bit() {
    for (model, params) in models() {
        let mut checkpointed = model.clone();
        checkpointed.gradient_checkpointing = true;
        let sequences = sequences(&[7, 12, 5]);
        for dropout in [None, Some((0.2, Rng::new(9)))] {
            let (mut kept, mut again) = (params.grads(), params.grads());
            let (a, ()) = params.backprop(&mut kept, |w| (loss(&model, w, &sequences, dropout), ()));
            let (b, ()) = params.backprop(&mut again, |w| (loss(&checkpointed, w, &sequences, dropout), ()));
            assert_eq!(a.to_bits(), b.to_bits());
            assert!(bits(&kept) == bits(&again), "the gradients differ");
        }
    }
}

/// Prompts of several lengths in fewer slots than prompts: whatever the cache was filled with before, each
/// answer is what the whole forward pass says of its sequence alone, and so are the log-probabilities.
#[test]
fn the_cache_is_the_whole_forward_pass() {
    for (model, params) in models() {
        let (w, prompts) = (params.frozen(), sequences(&[5, 1, 17, 3, 9, 2]));
        for sampling in [Sampling::GREEDY, Sampling::temperature(0.8)] {
            let config = GenerateConfig { max_new_tokens: 12, sampling, eos_ids: vec![7, 30], batch: 2 };
            let answers = generate(&model, &w, &prompts, &config, Rng::new(3), None, |_, _| true).unwrap();
            for (prompt, answer) in prompts.iter().zip(answers) {
                let sequence = [&prompt[..], &answer.tokens].concat();
                let all = logits(&model, &w, std::slice::from_ref(&sequence));
                let rows = (prompt.len() - 1..sequence.len() - 1).map(|n| &all[n * 61..][..61]);
                let temperature = if sampling == Sampling::GREEDY { 1.0 } else { 0.8 };
                let whole: Vec<f32> = rows
                    .clone()
                    .zip(&answer.tokens)
                    .map(|(row, &token)| log_softmax(row, temperature)[token as usize])
                    .collect();
                close("log-probabilities", &answer.logprobs, &whole);
                if sampling == Sampling::GREEDY {
                    let best: Vec<u32> = rows.map(argmax).collect();
                    assert_eq!(answer.tokens, best);
                }
            }
        }
    }
}

/// Gradients, three steps of AdamW, and what the model then writes.
#[test]
fn a_gpu_does_what_the_cpu_does() {
    let Some(gpu) = gpu::device() else { return };
    for (model, params) in models() {
        let sequences = sequences(&[7, 3, 40, 2, 19]);
        let train = |device: &Device| {
            let mut params = params.to(device);
            let mut adamw = AdamW::new(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }, &params);
            let mut grads = params.grads();
            let steps = (0..3).map(|step| {
                grads.zero();
                let dropout = Some((0.1, Rng::new(step)));
                let (loss, ()) = params.backprop(&mut grads, |w| (loss(&model, w, &sequences, dropout), ()));
                let first = grads.flat().to_vec();
                let norm = adamw.step(&mut params, &grads, 1e-3, Some(1.0)).unwrap();
                (loss, norm, first)
            });
            let steps: Vec<_> = steps.collect();
            (steps, params)
        };
        let ((cpu_steps, cpu), (gpu_steps, on_gpu)) = (train(&Device::Cpu), train(&gpu));
        for (step, (ours, theirs)) in cpu_steps.iter().zip(&gpu_steps).enumerate() {
            let ((loss, norm, grads), (gpu_loss, gpu_norm, gpu_grads)) = (ours, theirs);
            let what = format!("{:?}, step {step}", model.config.arch);
            within(GPU, &what, &[*gpu_loss, *gpu_norm], &[*loss, *norm]);
            within(GPU, &what, gpu_grads, grads);
        }
        let config = GenerateConfig { max_new_tokens: 12, sampling: Sampling::GREEDY, eos_ids: Vec::new(), batch: 3 };
        let prompts = &sequences[..2];
        let [a, b] = [cpu.frozen(), on_gpu.frozen()]
            .map(|w| generate(&model, &w, prompts, &config, Rng::new(0), None, |_, _| true).unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.tokens, b.tokens);
            within(GPU, "log-probabilities", &b.logprobs, &a.logprobs);
        }
    }
}

fn log_softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let scaled: Vec<f64> = logits.iter().map(|&x| (x / temperature) as f64).collect();
    let top = scaled.iter().copied().fold(f64::MIN, f64::max);
    let lse = top + scaled.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
    scaled.iter().map(|x| (x - lse) as f32).collect()
}

fn argmax(row: &[f32]) -> u32 {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32
}
