//! Kernels on the CPU: `cargo bench --bench kernels`, or one group: `cargo bench --bench kernels -- matmul`.
//!
//! Matrix products and attention are reported in operations (criterion's "elem/s" are flops), the others in bytes
//! that must move at least. `RLHF_SIMD=portable|avx2|avx512` picks an instruction set, `RLHF_THREADS` threads.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernels::{
    AdamWStep, Binary, Device, Form, Heads, Ids, Rng, Sampling, Segments, Tensor, Unary, adamw, attention,
    attention_back, attention_cached, dropout, index_select_back, layer_norm, layer_norm_back, linear, logprob,
    logprob_back, map, matmul, normal, sample, sum_rows, zip,
};
use std::hint::black_box;

fn noise(name: &str, shape: &[usize]) -> Tensor {
    normal(Rng::new(1).stream(name), &Device::Cpu, shape, 1.0)
}

/// M, N, K: squares, a small transformer (C = 64..256, 2048 tokens, V = 600), GPT-2, and decoding.
const PRODUCTS: [[usize; 3]; 16] = [
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 192, 64],
    [2048, 64, 64],
    [2048, 256, 64],
    [2048, 64, 256],
    [2048, 600, 64],
    [2048, 384, 128],
    [2048, 600, 128],
    [2048, 768, 256],
    [512, 2304, 768],
    [512, 768, 3072],
    [64, 192, 64],
    [8, 768, 768],
    [1, 768, 3072],
];

fn matmuls(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    for [m, n, k] in PRODUCTS {
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        // the three products of one linear layer y [m, n] = x [m, k] wᵀ: forward, dx, dw
        let (x, w, dy) = (noise("x", &[m, k]), noise("w", &[n, k]), noise("dy", &[m, n]));
        group.bench_function(format!("forward NT {m}x{n}x{k}"), |b| b.iter(|| linear(&x, &w, None)));
        group.bench_function(format!("dx NN {m}x{n}x{k}"), |b| b.iter(|| matmul(Form::NN, &dy, &w)));
        group.bench_function(format!("dw TN {m}x{n}x{k}"), |b| b.iter(|| matmul(Form::TN, &dy, &x)));
    }
    group.finish();
}

fn attentions(c: &mut Criterion) {
    let mut group = c.benchmark_group("attention");
    let heads = |q, dim| Heads { q, kv: q, dim };
    for (count, t, heads) in [(64, 32, heads(4, 16)), (32, 64, heads(4, 32)), (2, 1024, heads(12, 64))] {
        let seg = Segments::from_lengths(&vec![t; count]);
        let n = seg.tokens();
        let (qkv, dy) = (noise("qkv", &[n, heads.qkv()]), noise("dy", &[n, heads.q * heads.dim]));
        let (y, lse) = attention(&qkv, &seg, heads);
        let name = format!("{count}x{t} h{} d{}", heads.q, heads.dim);
        let scores = count * t * (t + 1) / 2 * heads.q * heads.dim; // two products forward, five backward
        group.throughput(Throughput::Elements(4 * scores as u64));
        group.bench_function(format!("forward {name}"), |b| b.iter(|| attention(&qkv, &seg, heads)));
        group.throughput(Throughput::Elements(10 * scores as u64));
        group.bench_function(format!("backward {name}"), |b| {
            b.iter(|| attention_back(&dy, &qkv, &y, &lse, &seg, heads))
        });
    }
    let (slots, context, heads) = (64, 128, heads(4, 32));
    let cache = noise("cache", &[slots, context, heads.kv * heads.dim]);
    let qkv = noise("qkv", &[slots, heads.qkv()]);
    let (slots, positions) = (Ids::new((0..slots as u32).collect()), Ids::new(vec![63; slots]));
    group.throughput(Throughput::Elements((4 * 64 * slots.len() * heads.q * heads.dim) as u64));
    group.bench_function("cached 64 slots, 64 positions", |b| {
        b.iter(|| attention_cached(&qkv, &cache, &cache, &slots, &positions, heads, None))
    });
    group.finish();
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("rows");
    for (n, c) in [(2048, 64), (2048, 256), (512, 768)] {
        let (x, dy) = (noise("x", &[n, c]), noise("dy", &[n, c]));
        let (w, b) = (noise("w", &[c]), noise("b", &[c]));
        let (_, stats) = layer_norm(&x, &w, &b, 1e-5);
        group.throughput(Throughput::Bytes((8 * n * c) as u64));
        group.bench_function(format!("layer_norm {n}x{c}"), |i| i.iter(|| layer_norm(&x, &w, &b, 1e-5)));
        group.throughput(Throughput::Bytes((12 * n * c) as u64));
        group.bench_function(format!("layer_norm_back {n}x{c}"), |i| i.iter(|| layer_norm_back(&dy, &x, &w, &stats)));
        group.throughput(Throughput::Bytes((4 * n * c) as u64));
        group.bench_function(format!("sum_rows {n}x{c}"), |i| i.iter(|| sum_rows(&x)));
        let ids = Ids::new((0..n as u32).map(|i| i * 7919 % 600).collect());
        group.bench_function(format!("embed_back {n}x{c}"), |i| i.iter(|| index_select_back(&x, &ids, 600)));
    }
    for (n, v) in [(1024, 600), (256, 50257)] {
        let logits = noise("logits", &[n, v]);
        let ids = Ids::new((0..n as u32).map(|i| i % 600).collect());
        let (lp, lse) = logprob(&logits, &ids);
        group.throughput(Throughput::Bytes((4 * n * v) as u64));
        group.bench_function(format!("logprob {n}x{v}"), |b| b.iter(|| logprob(&logits, &ids)));
        let mut scratch = Some(noise("scratch", &[n, v]));
        group.throughput(Throughput::Bytes((8 * n * v) as u64));
        group.bench_function(format!("logprob_back {n}x{v}"), |b| {
            b.iter(|| scratch = Some(logprob_back(&lp, scratch.take().expect("put back"), &ids, &lse)))
        });
    }
    let (logits, ids) = (noise("logits", &[64, 600]), (0..64).collect::<Vec<u32>>());
    group.throughput(Throughput::Elements(64));
    group.bench_function("sample 64x600", |b| {
        b.iter(|| sample(&logits, &Sampling::temperature(1.0), Rng::new(2), &ids, &ids))
    });
    group.finish();
}

fn elements(c: &mut Criterion) {
    let mut group = c.benchmark_group("elements");
    for n in [2048 * 256, 1 << 22] {
        let (x, dy) = (noise("x", &[n]), noise("dy", &[n]));
        group.throughput(Throughput::Bytes(8 * n as u64));
        group.bench_function(format!("gelu {n}"), |b| b.iter(|| map(Unary::Gelu, &x, [0.0; 2])));
        group.bench_function(format!("exp {n}"), |b| b.iter(|| map(Unary::Exp, &x, [0.0; 2])));
        group.bench_function(format!("dropout {n}"), |b| b.iter(|| dropout(&x, 0.2, Rng::new(3))));
        group.throughput(Throughput::Bytes(12 * n as u64));
        group.bench_function(format!("add {n}"), |b| b.iter(|| zip(Binary::Add, &dy, &x, [0.0; 2])));
        group.bench_function(format!("gelu_back {n}"), |b| b.iter(|| zip(Binary::GeluBack, &dy, &x, [0.0; 2])));
        let (mut p, mut m, mut v) = (x.clone(), noise("m", &[n]), Tensor::full(&Device::Cpu, &[n], 1.0));
        let step = AdamWStep {
            lr: 1e-6,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            decayed: n / 2,
            correction1: 0.5,
            correction2: 0.5,
            grad_scale: 1.0,
        };
        group.throughput(Throughput::Bytes(28 * n as u64));
        group.bench_function(format!("adamw {n}"), |b| b.iter(|| adamw(&mut p, black_box(&dy), &mut m, &mut v, &step)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(1))
        .warm_up_time(std::time::Duration::from_millis(200));
    targets = matmuls, attentions, rows, elements
}
criterion_main!(benches);
