//! What `rlhf bench` times: the kernels at the shapes of a small transformer, of GPT-2, and of decoding.

use kernels::{
    AdamWStep, Binary, Device, Form, Heads, Ids, Packed, Precision, Rng, Sampling, Segments, Tensor, Unary, adamw,
    attention, attention_back, attention_cached, dropout, entropy, index_select, index_select_back, layer_norm,
    layer_norm_back, linear_in, linear_packed, logprob, logprob_back, map, matmul_in, normal, rms_norm, rms_norm_back,
    rope, rope_table, sample, sum_rows, sum_squares, swiglu, swiglu_back, zip,
};
use std::hint::black_box;

/// One call to time, and what it cannot avoid: operations and bytes.
pub struct Case {
    pub name: String,
    pub precision: Precision,
    pub shape: String,
    pub flops: f64,
    pub bytes: f64,
    pub run: Box<dyn FnMut()>,
}

struct Maker<'a> {
    device: &'a Device,
    cases: Vec<Case>,
}

impl Maker<'_> {
    fn noise(&self, name: &str, shape: &[usize]) -> Tensor {
        normal(Rng::new(1).stream(name), self.device, shape, 1.0)
    }

    fn ids(&self, n: usize, below: usize) -> Ids {
        let mut draws = Rng::new(2).draws();
        Ids::new((0..n).map(|_| draws.below(below) as u32).collect())
    }

    /// `floats`: how many f32 must at least be read or written.
    fn add<T>(&mut self, name: &str, shape: String, flops: usize, floats: usize, run: impl FnMut() -> T + 'static) {
        self.add_in(Precision::F32, name, shape, flops, 4 * floats, run);
    }

    fn add_in<T>(
        &mut self,
        precision: Precision,
        name: &str,
        shape: String,
        flops: usize,
        bytes: usize,
        mut run: impl FnMut() -> T + 'static,
    ) {
        let run = Box::new(move || drop(black_box(run())));
        self.cases.push(Case { name: name.into(), precision, shape, flops: flops as f64, bytes: bytes as f64, run });
    }
}

pub fn cases(device: &Device) -> Vec<Case> {
    let mut maker = Maker { device, cases: Vec::new() };
    products(&mut maker);
    attentions(&mut maker);
    rows(&mut maker);
    vocabulary(&mut maker);
    flat(&mut maker);
    maker.cases
}

/// M, N, K: squares; a block of the recipe's models; GPT-2's; decoding.
const PRODUCTS: [[usize; 3]; 12] = [
    [256, 256, 256],
    [512, 512, 512],
    [1024, 1024, 1024],
    [2048, 2048, 2048],
    [4096, 64, 64],
    [4096, 768, 192],
    [512, 2304, 768],
    [512, 3072, 768],
    [512, 768, 3072],
    [512, 50257, 768],
    [1021, 1031, 1033],
    [64, 768, 768],
];

fn products(m: &mut Maker) {
    for [rows, out, inner] in PRODUCTS {
        let (x, w, dy) = (m.noise("x", &[rows, inner]), m.noise("w", &[out, inner]), m.noise("dy", &[rows, out]));
        let (flops, bytes) = (2 * rows * out * inner, 4 * (rows * inner + out * inner + rows * out));
        let shape = format!("{rows}x{out}x{inner}");
        for precision in [Precision::F32, Precision::Bf16] {
            let mut add =
                |name, run: Box<dyn FnMut() -> Tensor>| m.add_in(precision, name, shape.clone(), flops, bytes, run);
            let (a, b) = (x.clone(), w.clone());
            add("matmul_forward", Box::new(move || linear_in(precision, &a, &b, None)));
            let (a, b) = (dy.clone(), w.clone());
            add("matmul_dx", Box::new(move || matmul_in(precision, Form::NN, &a, &b)));
            let (a, b) = (dy.clone(), x.clone());
            add("matmul_dw", Box::new(move || matmul_in(precision, Form::TN, &a, &b)));
        }
    }
    // Decoding: a few rows, every weight read once; GPT-2's head, larger than any cache.
    for (rows, out, inner) in [(1, 3072, 768), (1, 50257, 768), (8, 50257, 768), (32, 50257, 768)] {
        let (x, w) = (m.noise("x", &[rows, inner]), m.noise("w", &[out, inner]));
        let (flops, shape) = (2 * rows * out * inner, format!("{rows}x{out}x{inner}"));
        for (precision, number) in [(Precision::F32, 4), (Precision::Bf16, 2)] {
            let (bytes, x, w) = (number * out * inner + 4 * rows * (out + inner), x.clone(), w.clone());
            let run: Box<dyn FnMut() -> Tensor> = match m.device {
                Device::Gpu(_) => Box::new(move || linear_in(precision, &x, &w, None)),
                Device::Cpu => {
                    let packed = Packed::new(precision, &w);
                    Box::new(move || linear_packed(&x, &packed, None))
                }
            };
            m.add_in(precision, "decode", shape.clone(), flops, bytes, run);
        }
    }
}

fn attentions(m: &mut Maker) {
    for (count, t, q, dim) in [(64, 32, 4, 16), (32, 128, 6, 32), (2, 1024, 12, 64)] {
        let heads = Heads { q, kv: q, dim };
        let seg = Segments::from_lengths(&vec![t; count]);
        let (n, c) = (seg.tokens(), q * dim);
        let (qkv, dy) = (m.noise("qkv", &[n, 3 * c]), m.noise("dy", &[n, c]));
        let (y, lse) = attention(&qkv, &seg, heads);
        let shape = format!("{count}x{t} h{q} d{dim}");
        let scores = count * t * (t + 1) / 2 * c;
        let (x, s) = (qkv.clone(), seg.clone());
        m.add("attention", shape.clone(), 4 * scores, 4 * n * c, move || attention(&x, &s, heads));
        let back = move || attention_back(&dy, &qkv, &y, &lse, &seg, heads);
        m.add("attention_back", shape, 10 * scores, 8 * n * c, back);
    }
    let (slots, context, heads) = (64, 128, Heads { q: 6, kv: 6, dim: 32 });
    let c = heads.q * heads.dim;
    let (cache, qkv) = (m.noise("cache", &[slots, context, c]), m.noise("qkv", &[slots, 3 * c]));
    let (which, positions) = (Ids::new((0..slots as u32).collect()), Ids::new(vec![63; slots]));
    let (flops, floats) = (4 * 64 * slots * c, 2 * 64 * slots * c);
    let run = move || attention_cached(&qkv, &cache, &cache, &which, &positions, heads, None);
    m.add("attention_cached", format!("{slots} slots, 64 back"), flops, floats, run);
    let (n, heads) = (4096, Heads { q: 8, kv: 4, dim: 32 });
    let inverse: Vec<f64> = (0..16).map(|i| 10_000f64.powf(-f64::from(i) / 16.0)).collect();
    let table = Tensor::from_slice(m.device, &[128, 32], &rope_table(128, &inverse));
    let (qkv, positions) = (m.noise("qkv", &[n, 16 * 32]), m.ids(n, 128));
    m.add("rope", format!("{n}x512"), 0, 2 * n * 512, move || rope(&qkv, &table, &positions, heads, false));
}

fn rows(m: &mut Maker) {
    let (n, c) = (4096, 768);
    let shape = format!("{n}x{c}");
    let (x, dy, w, b) = (m.noise("x", &[n, c]), m.noise("dy", &[n, c]), m.noise("w", &[c]), m.noise("b", &[c]));
    let (_, stats) = layer_norm(&x, &w, &b, 1e-5);
    let (_, rstd) = rms_norm(&x, &w, 1e-5);
    let (a, g, h) = (x.clone(), w.clone(), b.clone());
    m.add("layer_norm", shape.clone(), 0, 2 * n * c, move || layer_norm(&a, &g, &h, 1e-5));
    let (a, d, g) = (x.clone(), dy.clone(), w.clone());
    m.add("layer_norm_back", shape.clone(), 0, 3 * n * c, move || layer_norm_back(&d, &a, &g, &stats));
    let (a, g) = (x.clone(), w.clone());
    m.add("rms_norm", shape.clone(), 0, 2 * n * c, move || rms_norm(&a, &g, 1e-5));
    let (a, d, g) = (x.clone(), dy.clone(), w.clone());
    m.add("rms_norm_back", shape.clone(), 0, 3 * n * c, move || rms_norm_back(&d, &a, &g, &rstd));
    m.add("sum_rows", shape, 0, n * c, move || sum_rows(&x));
    let (gu, dy) = (m.noise("gu", &[n, 1024]), m.noise("dy", &[n, 512]));
    let shape = format!("{n}x512");
    let a = gu.clone();
    m.add("swiglu", shape.clone(), 0, 3 * n * 512, move || swiglu(&a));
    m.add("swiglu_back", shape, 0, 5 * n * 512, move || swiglu_back(&dy, &gu));
}

fn vocabulary(m: &mut Maker) {
    let (n, v, c) = (4096, 600, 192);
    let shape = format!("{n}x{v}");
    let (logits, ids, d) = (m.noise("logits", &[n, v]), m.ids(n, v), m.noise("d", &[n]));
    let (_, lse) = logprob(&logits, &ids);
    let (x, i) = (logits.clone(), ids.clone());
    m.add("logprob", shape.clone(), 0, n * v, move || logprob(&x, &i));
    let (x, l) = (logits.clone(), lse.clone());
    m.add("entropy", shape.clone(), 0, n * v, move || entropy(&x, &l));
    let (x, i) = (logits, ids.clone());
    m.add("logprob_back", shape, 0, 2 * n * v, move || logprob_back(&d, x.clone(), &i, &lse));
    let (w, dy) = (m.noise("w", &[v, c]), m.noise("dy", &[n, c]));
    let i = ids.clone();
    m.add("embed", format!("{n} of {v}x{c}"), 0, 2 * n * c, move || index_select(&w, &i));
    m.add("embed_back", format!("{n} of {v}x{c}"), 0, n * c + v * c, move || index_select_back(&dy, &ids, v));
    let logits = m.noise("logits", &[64, v]);
    let (streams, positions): (Vec<u32>, Vec<u32>) = ((0..64).collect(), vec![7; 64]);
    let sampling = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0 };
    m.add("sample", format!("64x{v}"), 0, 64 * v, move || {
        sample(&logits, &sampling, Rng::new(3), &streams, &positions)
    });
}

fn flat(m: &mut Maker) {
    let n = 1 << 20;
    let shape = format!("{n}");
    let (x, y) = (m.noise("x", &[n]), m.noise("y", &[n]));
    let a = x.clone();
    m.add("gelu", shape.clone(), 0, 2 * n, move || map(Unary::Gelu, &a, [0.0; 2]));
    let (a, b) = (x.clone(), y.clone());
    m.add("add", shape.clone(), 0, 3 * n, move || zip(Binary::Add, &a, &b, [0.0; 2]));
    let a = x.clone();
    m.add("dropout", shape.clone(), 0, 2 * n, move || dropout(&a, 0.2, Rng::new(4)));
    let a = x.clone();
    m.add("sum_squares", shape.clone(), 0, n, move || sum_squares(&a));
    let (mut p, g) = (x, y);
    let (mut first, mut second) = (m.noise("m", &[n]), Tensor::full(m.device, &[n], 1.0));
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
    m.add("adamw", shape, 0, 7 * n, move || adamw(&mut p, &g, &mut first, &mut second, &step));
}
