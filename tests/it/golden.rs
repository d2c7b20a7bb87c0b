//! Models in Hugging Face's layout against what PyTorch computed with them: logits, loss, every gradient by
//! its Hugging Face name, ten steps of AdamW, greedy text.
//!
//! PyTorch's batches are padded on the right with a mask; ours are ragged: the tokens that the mask keeps,
//! end to end. Every figure that is compared is of a real token, so the two must agree.
use crate::support::{Golden, golden, read_json, shared};
use autograd::{AdamW, AdamWConfig, Grads, Params, Schedule, Var, Weights, ops};
use kernels::{Device, Ids, Rng, Sampling, Segments, Tensor};
use model::{GenerateConfig, Model, Transformer, generate, load, tensor_maps};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A batch as PyTorch saw it, made ragged, and what of it is trained.
struct Batch {
    tokens: Ids,
    segments: Segments,
    /// Rows whose next token is trained, and those tokens.
    rows: Ids,
    targets: Ids,
}

impl Batch {
    /// The next token of every token counts.
    fn whole(sequences: &[Vec<u32>]) -> Batch {
        let labels: Vec<Vec<Option<u32>>> = sequences.iter().map(|s| s.iter().map(|&t| Some(t)).collect()).collect();
        Batch::new(sequences, &labels)
    }

    /// `labels[b][t]` is the token where it counts as a target (PyTorch: not -100).
    fn new(sequences: &[Vec<u32>], labels: &[Vec<Option<u32>>]) -> Batch {
        let segments = Segments::from_lengths(&sequences.iter().map(Vec::len).collect::<Vec<_>>());
        let (mut rows, mut targets) = (Vec::new(), Vec::new());
        for (b, labels) in labels.iter().enumerate() {
            for (t, label) in labels.iter().enumerate().skip(1) {
                if let Some(token) = label {
                    rows.push((segments.range(b).start + t - 1) as u32);
                    targets.push(*token);
                }
            }
        }
        Batch { tokens: Ids::new(sequences.concat()), segments, rows: rows.into(), targets: targets.into() }
    }

    /// Mean negative log-probability of the targets.
    fn loss(&self, model: &Transformer, w: &Weights) -> Var {
        let hidden = model.hidden(w, &self.tokens, &self.segments, None);
        let logits = model.logits(w, &ops::index_select(&hidden, &self.rows));
        ops::sum(&ops::logprob(&logits, &self.targets)) * (-1.0 / self.rows.len() as f32)
    }

    fn logits(&self, model: &Transformer, params: &Params) -> Tensor {
        let w = params.frozen();
        model.logits(&w, &model.hidden(&w, &self.tokens, &self.segments, None)).value().clone()
    }
}

/// PyTorch's input, mask and labels.
fn batch_of(golden: &Golden) -> Batch {
    let length = golden.shape("input_ids")[1];
    let [ids, mask, labels] = ["input_ids", "attention_mask", "labels"].map(|name| golden.array(name));
    let (mut sequences, mut targets) = (Vec::new(), Vec::new());
    for ((ids, mask), labels) in ids.chunks(length).zip(mask.chunks(length)).zip(labels.chunks(length)) {
        let real = mask.iter().filter(|&&m| m == 1.0).count();
        sequences.push(ids[..real].iter().map(|&id| id as u32).collect::<Vec<_>>());
        targets.push(labels[..real].iter().map(|&l| (l >= 0.0).then_some(l as u32)).collect());
    }
    Batch::new(&sequences, &targets)
}

/// Length of the difference over length of what is expected.
fn relative(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let difference: f64 = ours.iter().zip(theirs).map(|(a, b)| (*a as f64 - *b as f64).powi(2)).sum();
    let size: f64 = theirs.iter().map(|b| (*b as f64).powi(2)).sum();
    (difference / size).sqrt()
}

#[track_caller]
fn within(what: &str, error: f64, tolerance: f64) -> f64 {
    assert!(error <= tolerance, "{what}: off by {error:e}, {tolerance:e} is allowed");
    error
}

fn numbers(json: &Value) -> Vec<f32> {
    json.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn tokens(json: &Value) -> Vec<u32> {
    json.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn sequences(json: &Value) -> Vec<Vec<u32>> {
    json.as_array().unwrap().iter().map(tokens).collect()
}

/// The likeliest continuation of each prompt, all at a time, over the KV cache.
fn greedy(loaded: &Model, prompts: &[Vec<u32>], max_new: usize) -> Vec<Vec<u32>> {
    let config = GenerateConfig {
        max_new_tokens: max_new,
        sampling: Sampling::GREEDY,
        eos_ids: Vec::new(),
        batch: prompts.len(),
    };
    let weights = loaded.params.frozen();
    let answers = generate(&loaded.net, &weights, prompts, &config, Rng::new(0), None, |_, _| true);
    answers.unwrap().into_iter().map(|answer| answer.tokens).collect()
}

/// One of `models`, whole, on some device.
fn check_model(dir: &Path, device: &Device) {
    let loaded = load(dir, device).unwrap();
    let expected = Golden::read(dir);
    let (json, batch) = (&expected.json, batch_of(&expected));

    let logits = check_logits(&loaded, &expected, &batch);
    let (loss, gradients) = check_gradients(&loaded, &expected, &batch);
    let (losses, norms) = check_adamw(&loaded, &batch, &json["adamw"]);
    let examples = json["greedy"].as_array().unwrap();
    let prompts: Vec<_> = examples.iter().map(|e| tokens(&e["prompt"])).collect();
    let continuations: Vec<_> = examples.iter().map(|e| tokens(&e["continuation"])).collect();
    assert_eq!(greedy(&loaded, &prompts, continuations[0].len()), continuations);

    println!(
        "{} on {device:?}: off by {logits:.1e} in logits, {loss:.1e} in the loss, {gradients:.1e} in the worst gradient,",
        dir.display()
    );
    println!("    {losses:.1e} in ten steps' losses, {norms:.1e} in their gradient norms; greedy text is the same");
}

fn check_logits(loaded: &Model, expected: &Golden, batch: &Batch) -> f64 {
    let ours = batch.logits(&loaded.net, &loaded.params);
    let (shape, theirs) = (expected.shape("logits"), expected.array("logits"));
    let (length, vocab) = (shape[1], shape[2]);
    let real = |b| theirs[b * length * vocab..][..batch.segments.range(b).len() * vocab].to_vec();
    let theirs: Vec<f32> = (0..batch.segments.count()).flat_map(real).collect();
    within("logits", relative(&ours.to_vec(), &theirs), 1e-5)
}

/// Relative errors of the loss and of the worst gradient. No tensor of theirs may be left over.
fn check_gradients(loaded: &Model, expected: &Golden, batch: &Batch) -> (f64, f64) {
    let (model, params) = (&loaded.net, &loaded.params);
    let mut grads = params.grads();
    let (loss, ()) = params.backprop(&mut grads, |w| (batch.loss(model, w), ()));
    let loss = within("loss", relative(&[loss], &expected.array("loss")), 1e-5);

    let (mut left, mut worst) = (expected.names(), 0.0f64);
    left.retain(|name| name.starts_with("grad."));
    for map in tensor_maps(model) {
        // transformers 5 writes this one under its old name, but calls it otherwise
        let name = format!("grad.{}", map.name).replace("embed_out", "lm_head");
        let (shape, ours) = map.to_hf(&grads.get(map.param));
        assert_eq!(shape, expected.shape(&name), "{name}");
        worst = worst.max(within(&name, relative(&ours, &expected.array(&name)), 1e-4));
        left.retain(|other| *other != name);
    }
    assert!(left.is_empty(), "gradients that we do not have: {left:?}");
    (loss, worst)
}

/// Ten steps on the one batch: losses and gradient norms before clipping.
fn check_adamw(loaded: &Model, batch: &Batch, json: &Value) -> (f64, f64) {
    let config = AdamWConfig {
        beta1: json["betas"][0].as_f64().unwrap() as f32,
        beta2: json["betas"][1].as_f64().unwrap() as f32,
        eps: json["eps"].as_f64().unwrap() as f32,
        weight_decay: json["weight_decay_on_matrices"].as_f64().unwrap() as f32,
    };
    let (theirs, their_norms, lrs) = (numbers(&json["losses"]), numbers(&json["grad_norms"]), numbers(&json["lrs"]));
    let clip = json["clip_norm"].as_f64().unwrap() as f32;
    let schedule = Schedule::Cosine { warmup: 3, floor: 0.1 };
    let mut params = loaded.params.clone();
    let mut adamw = AdamW::new(config, &params);
    let mut grads = params.grads();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for (step, &their_lr) in lrs.iter().enumerate() {
        let lr = schedule.lr_at(1e-3, step, lrs.len());
        assert!((lr - their_lr).abs() < 1e-9, "lr {lr} is not {their_lr}");
        grads.zero();
        losses.push(params.backprop(&mut grads, |w| (batch.loss(&loaded.net, w), ())).0);
        norms.push(adamw.step(&mut params, &grads, lr, Some(clip)).unwrap());
    }
    let worst = |ours: &[f32], theirs: &[f32]| {
        ours.iter().zip(theirs).map(|(a, b)| ((a - b).abs() / b) as f64).fold(0.0, f64::max)
    };
    let losses = within("losses of ten steps", worst(&losses, &theirs), 1e-4);
    (losses, within("gradient norms of ten steps", worst(&norms, &their_norms), 1e-3))
}

/// Small ones of every architecture, and larger ones.
fn models() -> Vec<PathBuf> {
    let small = ["gpt2", "llama", "llama3", "mistral", "qwen2", "qwen3", "gpt_neox"].map(golden);
    let large = |dir: PathBuf| ["gpt2", "llama", "qwen2", "qwen3", "gpt_neox"].map(|name| dir.join(name));
    small.into_iter().chain(shared("golden").into_iter().flat_map(large)).collect()
}

#[test]
fn as_in_pytorch() {
    models().iter().for_each(|dir| check_model(dir, &Device::Cpu));
}

#[test]
fn as_in_pytorch_on_a_gpu() {
    if let Some(gpu) = crate::gpu::device() {
        models().iter().for_each(|dir| check_model(dir, &gpu));
    }
}

/// Another GPT-2: single rows of logits, a row that was padded on the left, log-probabilities, entropies,
/// the norm of each gradient, greedy text.
#[test]
fn a_small_gpt2_as_in_pytorch() {
    let Some(dir) = shared("data/weights/hf-gpt2-fixtures/tiny-2x32") else { return };
    let loaded = load(&dir, &Device::Cpu).unwrap();
    let (model, params) = (&loaded.net, &loaded.params);
    let golden = read_json(&dir.join("golden.json"));
    let ids = sequences(&golden["ids"]);
    let batch = Batch::whole(&ids);
    let logits = batch.logits(model, params);
    let vocab = model.config.vocab;
    let row = |logits: &Tensor, n: usize| logits.to_vec()[n * vocab..][..vocab].to_vec();

    let mut worst = 0.0f64;
    let mut check = |what: &str, ours: &[f32], theirs: &Value, tolerance: f64| {
        worst = worst.max(within(what, relative(ours, &numbers(theirs)), tolerance));
    };
    check("last row", &row(&logits, 23), &golden["logits_row0_last"], 1e-5);
    check("fourth row", &row(&logits, 3), &golden["logits_row0_pos3"], 1e-5);

    let real = golden["leftpad_mask"][1].as_array().unwrap().iter().map(|m| m.as_u64() == Some(1));
    let unpadded: Vec<u32> = ids[1].iter().zip(real).filter(|(_, real)| *real).map(|(id, _)| *id).collect();
    let alone = Batch::whole(std::slice::from_ref(&unpadded)).logits(model, params);
    check("a row without its padding", &row(&alone, unpadded.len() - 1), &golden["leftpad_row1_last"], 1e-5);

    let picked = kernels::index_select(&logits, &batch.rows);
    let (logprobs, _) = kernels::logprob(&picked, &batch.targets);
    let theirs = |key: &str| Value::from(golden[key].as_array().unwrap().iter().flat_map(numbers).collect::<Vec<_>>());
    check("log-probabilities", &logprobs.to_vec(), &theirs("token_logprobs"), 1e-5);
    let entropies = ops::entropy(&Var::from(logits.clone()));
    check("entropies", &entropies.to_vec(), &theirs("entropy"), 1e-5);

    let mut grads = params.grads();
    let (loss, ()) = params.backprop(&mut grads, |w| (batch.loss(model, w), ()));
    check("loss", &[loss], &json!([golden["loss"]]), 1e-5);
    check("norm of all gradients", &[grads.norm()], &json!([golden["grad_global_norm"]]), 1e-5);
    for (name, norm) in golden["grad_norms"].as_object().unwrap() {
        check(name, &[hf_norm(model, &grads, name)], &json!([norm]), 1e-4);
    }
    let text = tokens(&golden["greedy_from_first6"]);
    let continued = greedy(&loaded, &[text[..6].to_vec()], text.len() - 6);
    assert_eq!(continued[0], text[6..]);
    println!("tiny-2x32: off by at most {worst:.1e}");
}

fn hf_norm(model: &Transformer, grads: &Grads, name: &str) -> f32 {
    let map = tensor_maps(model).into_iter().find(|map| map.name == name).unwrap();
    let (_, numbers) = map.to_hf(&grads.get(map.param));
    numbers.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[test]
fn a_reward_model_as_in_pytorch() {
    check_rewards(&golden("reward"));
    let Some(dir) = shared("data/weights/hf-gpt2-fixtures/rm-2x32") else { return };
    let copy = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "golden.json"] {
        std::fs::copy(dir.join(name), copy.path().join(name)).unwrap();
    }
    let mut config = read_json(&dir.join("golden.json"))["config"].take();
    config["model_type"] = json!("gpt2");
    config["architectures"] = json!(["GPT2ForSequenceClassification"]);
    config["num_labels"] = json!(1);
    config.as_object_mut().unwrap().remove("head"); // words
    std::fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
    check_rewards(copy.path());
}

/// The score at each sequence's last token, and the loss of a ranking of five.
fn check_rewards(dir: &Path) {
    let [golden, config] = ["golden.json", "config.json"].map(|name| read_json(&dir.join(name)));
    let loaded = load(dir, &Device::Cpu).unwrap();
    let pad = config["pad_token_id"].as_u64().unwrap() as u32;
    let unpadded = |ids: Vec<u32>| ids[..ids.iter().rposition(|&id| id != pad).unwrap() + 1].to_vec();
    let batch = Batch::whole(&sequences(&golden["ids"]).into_iter().map(unpadded).collect::<Vec<_>>());

    let weights = loaded.params.frozen();
    let hidden = loaded.net.hidden(&weights, &batch.tokens, &batch.segments, None);
    let last = |b| (batch.segments.range(b).end - 1) as u32;
    let last = Ids::new((0..batch.segments.count()).map(last).collect());
    let scores = loaded.net.score(&weights, &ops::index_select(&hidden, &last));
    let error = within("scores", relative(&scores.value().to_vec(), &numbers(&golden["scores"])), 1e-5);

    // the first is the best, the last the worst: all C(5, 2) pairs
    let column = ops::reshape(&scores, &[scores.value().len(), 1]);
    let (better, worse): (Vec<u32>, Vec<u32>) = (0..5).flat_map(|i| (i + 1..5).map(move |j| (i, j))).unzip();
    let margins = ops::index_select(&column, &better.into()) - ops::index_select(&column, &worse.into());
    let loss = ops::sum(&ops::log_sigmoid(&margins)) * -0.1;
    let theirs = golden["pairwise_loss_rank0best_mean_over_C_5_2"].as_f64().unwrap() as f32;
    within("loss", relative(&[loss.item()], &[theirs]), 1e-5);
    println!("{}: scores off by {error:.1e}", dir.display());
}

/// A real model of 260,032 parameters that writes stories: PyTorch's logits and likelihoods, and the greedy
/// story of llama2.c, byte for byte.
#[test]
fn stories_as_in_pytorch_and_llama2_c() {
    let Some(dir) = shared("data/weights/stories260K") else { return };
    let loaded = load(&dir.join("hf"), &Device::Cpu).unwrap();
    let (model, params) = (&loaded.net, &loaded.params);
    let golden = read_json(&dir.join("golden.json"));

    let prompt = tokens(&golden["ids"]);
    let logits = Batch::whole(std::slice::from_ref(&prompt)).logits(model, params).to_vec();
    let vocab = model.config.vocab;
    let last = within(
        "last logits", // written down with five decimals
        relative(&logits[(prompt.len() - 1) * vocab..], &numbers(&golden["logits_last"])),
        1e-5,
    );
    within("first logits", relative(&logits[..16], &numbers(&golden["logits_pos0_first16"])), 1e-5);
    let text = tokens(&golden["greedy_ids_100"]);
    let continued = greedy(&loaded, std::slice::from_ref(&prompt), text.len() - prompt.len());
    assert_eq!(continued[0], text[prompt.len()..]);

    let batch = Batch::whole(&[tokens(&golden["eval_ids_512"])]);
    let nll = batch.loss(model, &params.frozen()).item();
    let nll = within("likelihood", relative(&[nll], &[golden["eval_mean_nll_511"].as_f64().unwrap() as f32]), 1e-5);

    let bos = 1;
    let story = greedy(&loaded, &[vec![bos]], 200).remove(0);
    let pieces = Pieces::read(&dir.join("tok512.bin"));
    let told = pieces.decode(bos, story.split(|&id| id == bos).next().unwrap());
    let expected = std::fs::read_to_string(dir.join("expected_run_t0_n200.txt")).unwrap();
    assert_eq!(told.trim_end(), expected.trim_end());
    println!("stories260K: off by {last:.1e} in logits, {nll:.1e} in likelihood; the story is the same");
}

/// The vocabulary file of llama2.c: the longest piece's length, then (score, length, bytes) of each.
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    fn read(path: &Path) -> Pieces {
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut pieces) = (&bytes[4..], Vec::new());
        while rest.len() >= 8 {
            let length = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
            pieces.push(rest[8..8 + length].to_vec());
            rest = &rest[8 + length..];
        }
        Pieces(pieces)
    }

    /// As run.c prints: no space after the first token, `<0x0A>` as that byte.
    fn decode(&self, before: u32, ids: &[u32]) -> String {
        let (mut text, mut before, bos) = (Vec::new(), before, 1);
        for &id in ids {
            let piece = &self.0[id as usize];
            let byte = std::str::from_utf8(piece).ok().and_then(|p| p.strip_prefix("<0x")?.strip_suffix('>'));
            match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => text.push(byte),
                None => text.extend(if before == bos { piece.strip_prefix(b" ").unwrap_or(piece) } else { piece }),
            }
            before = id;
        }
        String::from_utf8(text).unwrap()
    }
}
