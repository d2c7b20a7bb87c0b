//! Tests of this crate by itself. PyTorch's numbers are in the workspace's
//! tests/it/golden.rs.
//!
//! forward     dropout, log-probabilities, score heads, how a fresh model starts
//! directories what is saved loads again; hostile and broken files are refused by name
//! archives    safetensors: hostile headers, mutations, and the crate as a second opinion
//! gguf        the same for GGUF; directories become files and directories again
//! engine      requests that come, go and differ, each as if alone
//! generation  independent of the batch, ends, streams, errors
//! lora        merged = unmerged, gradients, round trips, refusals
//! strangers   files that others wrote: heads, numbers that are not finite, spellings, what is no file
//! checkpoints killed, flipped, truncated
//!
//! memory and shared are tools; the tests of the workspace use them too.
mod archives;
mod checkpoints;
mod directories;
mod engine;
mod forward;
mod generation;
mod gguf;
mod lora;
mod memory;
pub(crate) mod shared;
mod strangers;

use crate::{Activation, Arch, Biases, Config, HeadKind, Model, Rope, Scaling, arch};
use kernels::{Device, Draws, Rng};

/// One to three bytes of a text changed, taken out or put in.
fn mutate(bytes: &mut Vec<u8>, alphabet: &[u8], draws: &mut Draws) {
    for _ in 0..1 + draws.below(3) {
        let at = draws.below(bytes.len());
        match draws.below(4) {
            0 => bytes[at] ^= 1 << draws.below(8),
            1 => bytes[at] = *draws.choose(alphabet),
            2 => drop(bytes.remove(at)),
            _ => bytes.insert(at, *draws.choose(alphabet)),
        }
    }
}

fn gpt2() -> Config {
    Config { eos_ids: vec![0], bos: Some(0), ..Config::gpt2(61, 48, 2, 32, 4) }
}

fn llama() -> Config {
    Config { tied: false, eos_ids: vec![0], ..Config::llama(61, 48, 2, 32, 4, 2) }
}

/// Every architecture, and what its config can change.
pub(crate) fn all() -> Vec<Config> {
    let of = |arch: &Arch, kv| Config { eos_ids: vec![0], ..Config::new(arch, 61, 48, 2, 32, 4, kv) };
    let long = Scaling::Llama3 { factor: 4.0, low: 1.0, high: 4.0, original: 16.0 };
    let wide = |config: Config| Config { heads: kernels::Heads { dim: 10, ..config.heads }, ..config };
    let neox = of(&arch::gpt_neox::ARCH, 4);
    vec![
        gpt2(),
        Config { tied: false, activation: Activation::GeluErf, ..gpt2() },
        llama(),
        Config { tied: true, eos_ids: vec![3, 4], rope: Some(Rope { scaling: long, ..Rope::new(5e5, 8) }), ..llama() },
        Config { biases: Biases::ALL, ..llama() },
        Config { sliding_window: Some(5), ..of(&arch::mistral::ARCH, 2) },
        Config { sliding_window: None, tied: false, ..of(&arch::mistral::ARCH, 1) },
        of(&arch::qwen2::ARCH, 2),
        Config { rope: Some(Rope::new(1e6, 10)), ..wide(of(&arch::qwen3::ARCH, 2)) },
        Config { tied: false, ..neox.clone() },
        Config {
            parallel_residual: false,
            activation: Activation::GeluTanh,
            rope: Some(Rope { scaling: Scaling::Linear { factor: 2.0 }, ..Rope::new(1e4, 4) }),
            ..neox
        },
    ]
}

/// A model whose numbers are large enough to matter everywhere, biases and gains too.
fn shaken(config: &Config, head: HeadKind) -> Model {
    let Model { net, mut params } = Model::new(config, head, Rng::new(3), &Device::Cpu);
    let ids: Vec<_> = params.iter().map(|(id, name, _)| (id, name.to_string())).collect();
    for (id, name) in ids {
        let mut numbers = params.get(id).to_vec();
        let rng = Rng::new(4).stream(&name);
        for (i, x) in numbers.iter_mut().enumerate() {
            *x += 0.2 * rng.normal_at(i as u64);
        }
        params.set(id, &numbers);
    }
    Model { net, params }
}

/// Random tokens, one sequence for each length.
fn texts(lengths: &[usize], vocab: usize) -> Vec<Vec<u32>> {
    let mut draws = Rng::new(5).draws();
    lengths.iter().map(|&n| (0..n).map(|_| draws.below(vocab) as u32).collect()).collect()
}

#[track_caller]
fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= tolerance, "differ by {worst}, allowed is {tolerance}");
}
