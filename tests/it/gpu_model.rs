//! Whole models on a GPU: losses, gradients, optimizer steps and answers as on the CPU; and what they ask of it.
use autograd::{AdamW, AdamWConfig, Params, Var, ops};
use kernels::{Device, Ids, Rng, Sampling, Segments, Tensor};
use model::{Arch, Config, GenerateConfig, HeadKind, Model, Transformer, arch, generate};
use rlhf_core::data::Example;
use rlhf_core::lm;
use rlhf_core::train::Learner;

/// Small, with sizes that fit no tile; grouped heads in the Llama.
fn configs() -> [Config; 5] {
    let of = |arch: &Arch, kv| Config::new(arch, 101, 128, 2, 48, 4, kv);
    [
        Config::gpt2(97, 128, 2, 36, 3),
        of(&arch::llama::ARCH, 2),
        Config { sliding_window: Some(9), ..of(&arch::mistral::ARCH, 2) },
        of(&arch::qwen3::ARCH, 1),
        Config::new(&arch::gpt_neox::ARCH, 101, 128, 2, 48, 3, 3),
    ]
}

fn on(device: &Device, config: &Config) -> (Transformer, Params) {
    let Model { net: model, params } = Model::new(config, HeadKind::Lm, Rng::new(1), &Device::Cpu);
    (model, params.to(device))
}

/// A ragged batch of random tokens.
fn batch(config: &Config) -> (Ids, Segments) {
    let seg = Segments::from_lengths(&[5, 70, 1, 33]);
    let mut draws = Rng::new(2).draws();
    (Ids::new((0..seg.tokens()).map(|_| draws.below(config.vocab) as u32).collect()), seg)
}

/// Minus the weighted log-probability of each token's successor.
fn loss(model: &Transformer, w: &autograd::Weights, (tokens, seg): &(Ids, Segments)) -> Var {
    let n = tokens.len();
    let next = Ids::new((0..n).map(|i| tokens.host()[(i + 1) % n]).collect());
    let weights: Vec<f32> = (0..n).map(|i| if i % 3 == 0 { 0.0 } else { -1.0 / n as f32 }).collect();
    let hidden = model.hidden(w, tokens, seg, Some((0.1, Rng::new(3))));
    let lp = ops::logprob(&model.logits(w, &hidden), &next);
    ops::dot(&lp, &Tensor::from_slice(&w.device(), &[n], &weights))
}

/// Losses of four steps, the gradients of the first, and the parameters at the end.
fn train(device: &Device, config: &Config) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (model, mut params) = on(device, config);
    let batch = batch(config);
    let mut adamw = AdamW::new(AdamWConfig::default(), &params);
    let (mut losses, mut first) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let mut grads = params.grads();
        losses.push(params.backprop(&mut grads, |w| (loss(&model, w, &batch), ())).0);
        if first.is_empty() {
            first = grads.flat().to_vec();
        }
        adamw.step(&mut params, &grads, 1e-3, Some(1.0)).expect("finite gradients");
    }
    (losses, first, params.flat().to_vec())
}

#[track_caller]
fn close(what: &str, a: &[f32], b: &[f32], within: f32) {
    assert_eq!(a.len(), b.len(), "{what}");
    let size = a.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size;
    println!("{what}: {worst:.1e}");
    assert!(worst <= within, "{what}: {worst} > {within}");
}

#[test]
fn training_on_a_gpu_is_training() {
    let Some(gpu) = crate::gpu::device() else { return };
    for config in configs() {
        let name = config.arch.to_string();
        let (losses, grads, params) = train(&Device::Cpu, &config);
        let (gpu_losses, gpu_grads, gpu_params) = train(&gpu, &config);
        close(&format!("{name} losses"), &losses, &gpu_losses, 1e-5);
        close(&format!("{name} gradients"), &grads, &gpu_grads, 1e-4);
        close(&format!("{name} parameters after four steps"), &params, &gpu_params, 2e-3);
        // the same device, the same bits
        let again = train(&gpu, &config);
        assert_eq!(gpu_params, again.2, "{name}: the second run ends elsewhere");
    }
}

#[test]
fn a_gpu_writes_the_same_answers() {
    let Some(gpu) = crate::gpu::device() else { return };
    for config in configs() {
        let prompts: Vec<Vec<u32>> = (1..8).map(|n| (0..n * 3).map(|i| (i * 7 + n) as u32 % 90).collect()).collect();
        for sampling in [Sampling::GREEDY, Sampling { temperature: 0.8, top_k: 30, top_p: 0.9 }] {
            let how = GenerateConfig { max_new_tokens: 12, sampling, eos_ids: vec![0], batch: 4 };
            let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
                let (model, params) = on(device, &config);
                generate(&model, &params.frozen(), &prompts, &how, Rng::new(5), None, |_, _| true).expect("an answer")
            });
            for (prompt, (a, b)) in cpu.iter().zip(&gpu).enumerate() {
                assert_eq!(a.tokens, b.tokens, "{} {sampling:?} prompt {prompt}", config.arch);
                close("log-probabilities", &a.logprobs, &b.logprobs, 1e-4);
            }
        }
    }
}

/// Mean losses of `steps` steps on `rows` sequences of `length` tokens, as SFT makes them.
fn sft(device: &Device, config: &Config, rows: usize, length: usize, steps: usize) -> Vec<f64> {
    let (model, params) = on(device, config);
    let mut draws = Rng::new(4).draws();
    let mut row = || Example::text((0..length).map(|_| draws.below(config.vocab) as u32).collect());
    let rows: Vec<Example> = (0..rows).map(|_| row()).collect();
    let batch: Vec<&Example> = rows.iter().collect();
    let mut learner = Learner::new(params, AdamWConfig::default(), 1.0);
    let mut step = || {
        let losses = lm::accumulate(&model, &mut learner, &batch, usize::MAX, 1.0, None);
        let (norm, loss) = learner.step_and_read(1e-3, &losses);
        norm.expect("a finite gradient");
        loss
    };
    (0..steps).map(|_| step()).collect()
}

#[track_caller]
fn same_losses(config: &Config, rows: usize, length: usize, steps: usize, within: f64) {
    let Some(gpu) = crate::gpu::device() else { return };
    let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| sft(device, config, rows, length, steps));
    let worst = cpu.iter().zip(&gpu).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    println!("{steps} steps: losses {:.5} to {:.5}, largest difference {worst:.1e}", cpu[0], cpu[steps - 1]);
    assert!(worst <= within, "{worst} > {within}: {cpu:?} and {gpu:?}");
}

#[test]
fn twenty_steps_as_on_the_cpu() {
    same_losses(&Config::gpt2(512, 64, 2, 96, 3), 4, 64, 20, 1e-3);
    same_losses(&Config::llama(512, 64, 2, 96, 6, 2), 4, 64, 20, 1e-3);
}

/// The largest matrix, [50257, 768], is more than software Vulkan binds at once.
#[test]
#[ignore = "minutes on a software GPU"]
fn a_step_of_gpt2_124m_as_on_the_cpu() {
    same_losses(&Config::gpt2(50257, 256, 12, 768, 12), 2, 256, 1, 1e-4);
}

#[test]
#[ignore = "minutes on a software GPU"]
fn smollm2_135m_decodes_as_on_the_cpu() {
    let Some(gpu) = crate::gpu::device() else { return };
    let config = Config::llama(49152, 256, 30, 576, 9, 3);
    let prompts: Vec<Vec<u32>> = (1..4).map(|n| (0..n * 9).map(|i| (i * 7919 + n) as u32 % 49152).collect()).collect();
    let how = GenerateConfig { max_new_tokens: 4, sampling: Sampling::GREEDY, eos_ids: vec![], batch: 3 };
    let [cpu, gpu] = [&Device::Cpu, &gpu].map(|device| {
        let (model, params) = on(device, &config);
        generate(&model, &params.frozen(), &prompts, &how, Rng::new(5), None, |_, _| true).expect("an answer")
    });
    for (a, b) in cpu.iter().zip(&gpu) {
        assert_eq!(a.tokens, b.tokens);
        close("log-probabilities", &a.logprobs, &b.logprobs, 1e-4);
    }
}

/// Dispatches of a layer, forward and back; the waits of a step; and that after two steps no buffer is new.
#[test]
fn a_step_asks_little_of_the_gpu() {
    let Some(device) = crate::gpu::device() else { return };
    let Device::Gpu(gpu) = &device else { unreachable!("a GPU was asked for") };
    for config in
        [Config::gpt2, |v, t, l, c, h| Config::llama(v, t, l, c, h, h)].map(|of| [1, 3].map(|l| of(64, 512, l, 64, 2)))
    {
        let [one, three] = config.map(|config| {
            let (model, params) = on(&device, &config);
            let row = Example::text((0..512).map(|i| i * 7 % 64).collect());
            let batch = [&row; 2];
            let evaluate = || {
                let start = gpu.counts();
                lm::evaluate(&model, &params, &[row.clone(), row.clone()], usize::MAX);
                gpu.counts().dispatches - start.dispatches
            };
            evaluate(); // a real GPU may measure rungs
            let forward = evaluate();
            let mut learner = Learner::new(params, AdamWConfig::default(), 1.0);
            let mut last = gpu.counts();
            for step in 0..5 {
                let losses = lm::accumulate(&model, &mut learner, &batch, usize::MAX, 1.0, None);
                learner.step_and_read(1e-3, &losses).0.expect("a finite gradient");
                let now = gpu.counts();
                // in the first step a real GPU may measure rungs
                assert!(step == 0 || now.waits - last.waits == 1, "{} waits in step {step}", now.waits - last.waits);
                assert!(step < 2 || now.allocations == last.allocations, "new buffers in step {step}");
                last = now;
            }
            let before = gpu.counts();
            let losses = lm::accumulate(&model, &mut learner, &batch, usize::MAX, 1.0, None);
            drop(losses);
            [forward, gpu.counts().dispatches - before.dispatches - forward]
        });
        let [forward, back] = [0, 1].map(|i| (three[i] - one[i]) / 2);
        println!("{forward} dispatches a layer forward, {back} back");
        assert!(forward <= 25 && back <= 45);
    }
}
