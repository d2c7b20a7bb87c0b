//! Every op against finite differences: its gradient by tape is the derivative of its value.
//!
//! How it is measured, and why the tolerance is 2e-4, stands in `autograd::check`. Walking back twice must
//! give the same bits; `gradcheck` asserts that for every row.
use autograd::check::{TOLERANCE, Worst, along, gradcheck};
use autograd::{Var, checkpoint, ops, record};
use kernels::{Device, Heads, Ids, Precision, Rng, Segments, Tensor, rope_table};

/// A function of some inputs, called after the op that it tests.
struct Row {
    op: &'static str,
    inputs: Vec<Tensor>,
    f: Function,
}

type Function = Box<dyn Fn(&[Var]) -> Var>;

fn row(op: &'static str, inputs: Vec<Tensor>, f: impl Fn(&[Var]) -> Var + 'static) -> Row {
    Row { op, inputs, f: Box::new(f) }
}

/// Standard normal numbers, other ones for each shape and `which`.
fn normal(which: &str, shape: &[usize]) -> Tensor {
    kernels::normal(Rng::new(42).stream(which).stream(&format!("{shape:?}")), &Device::Cpu, shape, 1.0)
}

/// The shapes that functions of single elements are tried on.
const SHAPES: [&[usize]; 4] = [&[1], &[7], &[3, 5], &[2, 3, 4]];

fn one_element_rows() -> Vec<Row> {
    let one = |op, f: fn(&Var) -> Var| SHAPES.map(|shape| row(op, vec![normal("x", shape)], move |v: &[Var]| f(&v[0])));
    let two = |op, f: fn(&Var, &Var) -> Var| {
        SHAPES.map(|shape| row(op, vec![normal("a", shape), normal("b", shape)], move |v: &[Var]| f(&v[0], &v[1])))
    };
    [
        one("exp", ops::exp),
        one("gelu", ops::gelu),
        one("gelu_erf", ops::gelu_erf),
        one("log_sigmoid", ops::log_sigmoid),
        one("neg", ops::neg),
        one("neg", |x| -x),
        one("sigmoid", ops::sigmoid),
        one("silu", ops::silu),
        one("square", ops::square),
        one("scale", |x| ops::scale(x, -1.7)),
        one("scale", |x| x * 0.3),
        one("shift", |x| ops::shift(x, 0.25)),
        one("sum", ops::sum),
        one("mean", ops::mean),
        one("softmax", ops::softmax),
        one("tanh", ops::tanh),
        one("log", |x| ops::log(&ops::shift(&ops::square(x), 0.5))),
        one("reshape", |x| ops::square(&ops::reshape(x, &[x.value().len(), 1]))),
        one("dropout", |x| ops::dropout(x, 0.4, Rng::new(3))),
        one("mul", |x| &(x * x) + x), // one input used three times: its gradients add
        two("add", ops::add),
        two("sub", ops::sub),
        two("mul", ops::mul),
        two("div", |a, b| ops::div(a, &ops::shift(&ops::square(b), 0.5))),
        two("div", |a, b| a / ops::exp(b)),
        two("add", |a, b| a + b - a * b),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Ops with a kink, away from it by more than the stencil is wide (1/16).
fn kinked_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for shape in SHAPES {
        let a = normal("a", shape);
        let b: Vec<f32> = a.data().iter().enumerate().map(|(i, a)| a + [0.3, -0.2, 1.0][i % 3]).collect();
        let b = Tensor::new(shape, b);
        rows.push(row("min", vec![a.clone(), b.clone()], |v| ops::min(&v[0], &v[1])));
        rows.push(row("max", vec![a.clone(), b], |v| ops::max(&v[0], &v[1])));
        let inside_and_out = (0..a.len()).map(|i| [-0.9, 0.1, 0.6, 1.4, -0.3][i % 5]).collect();
        let x = Tensor::new(shape, inside_and_out);
        rows.push(row("clamp", vec![x.clone()], |v| ops::clamp(&v[0], -0.5, 0.8)));
        rows.push(row("relu", vec![x], |v| ops::relu(&v[0])));
    }
    rows
}

fn layer_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (n, i, o) in [(1, 1, 1), (3, 5, 4), (7, 3, 2), (2, 17, 9)] {
        let (x, w, b) = (normal("x", &[n, i]), normal("w", &[o, i]), normal("b", &[o]));
        rows.push(row("linear", vec![x.clone(), w.clone(), b], |v| ops::linear(&v[0], &v[1], Some(&v[2]))));
        rows.push(row("linear", vec![x.clone(), w.clone()], |v| ops::linear(&v[0], &v[1], None)));
        let in_f32 = |v: &[Var]| ops::linear_in(Precision::F32, &v[0], &v[1], None);
        rows.push(row("linear_in", vec![x.clone(), w.clone()], in_f32));
        let packed = kernels::pack_bf16(&w);
        let b = normal("b", &[o]);
        let of_bf16 = move |v: &[Var]| ops::linear_bf16(Precision::F32, &v[0], &packed, Some(&v[1]));
        rows.push(row("linear_bf16", vec![x, b], of_bf16));
    }
    for (m, k, n) in [(1, 1, 1), (3, 5, 4), (2, 17, 9)] {
        let (a, b) = (normal("a", &[m, k]), normal("b", &[k, n]));
        rows.push(row("matmul", vec![a.clone(), b], |v| ops::matmul(&v[0], &v[1])));
        rows.push(row("transpose", vec![a], |v| ops::transpose(&v[0])));
    }
    for (axis, range) in [(0, 1..2), (1, 0..3), (1, 1..2), (2, 3..3), (2, 1..4)] {
        let (a, b) = (normal("a", &[2, 3, 4]), normal("b", &[2, 3, 4]));
        let sliced = range.clone();
        rows.push(row("slice", vec![a.clone()], move |v| ops::slice(&v[0], axis, sliced.clone())));
        let ends = move |v: &[Var]| ops::concat([&v[0], &ops::slice(&v[1], axis, range.clone()), &v[0]], axis);
        rows.push(row("concat", vec![a, b], ends));
    }
    for (n, c, w) in [(1, 1, 1), (3, 7, 2), (4, 33, 30)] {
        let inputs = vec![normal("y", &[n, c]), normal("x", &[n, w])];
        rows.push(row("add_columns", inputs, move |v| ops::add_columns(&v[0], c - w, 0.7, &v[1])));
    }
    for (n, c) in [(1, 5), (3, 8), (4, 33)] {
        let (x, w, b) = (normal("x", &[n, c]), normal("w", &[c]), normal("b", &[c]));
        let norm = |v: &[Var]| ops::layer_norm(&v[0], &v[1], &v[2], 1e-5);
        rows.push(row("layer_norm", vec![x.clone(), w.clone(), b], norm));
        rows.push(row("rms_norm", vec![x, w], |v| ops::rms_norm(&v[0], &v[1], 1e-6)));
    }
    for (n, f) in [(1, 1), (3, 5), (2, 17)] {
        rows.push(row("swiglu", vec![normal("gu", &[n, 2 * f])], |v| ops::swiglu(&v[0])));
    }
    for (vocab, c, ids) in [(1, 1, vec![0]), (5, 3, vec![4, 0, 4, 4, 1]), (9, 7, vec![2])] {
        let [ids, ids2, ids3] = [(); 3].map(|()| Ids::from(&ids[..]));
        rows.push(row("embed", vec![normal("w", &[vocab, c])], move |v| ops::embed(&v[0], &ids)));
        rows.push(row("index_select", vec![normal("x", &[vocab, c])], move |v| ops::index_select(&v[0], &ids2)));
        rows.push(row("pick", vec![normal("x", &[vocab])], move |v| ops::pick(&v[0], &ids3)));
    }
    for (vocab, ids) in [(2, vec![1]), (7, vec![1, 6, 0, 3]), (33, vec![32, 32, 5])] {
        let logits = normal("logits", &[ids.len(), vocab]);
        let ids = Ids::new(ids);
        rows.push(row("logprob", vec![logits], move |v| ops::logprob(&v[0], &ids)));
    }
    for shape in SHAPES {
        let weights = normal("weights", shape);
        rows.push(row("dot", vec![normal("x", shape)], move |v| ops::dot(&v[0], &weights)));
    }
    rows
}

fn attention_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let lengths: [&[usize]; 4] = [&[1], &[4], &[3, 1, 5], &[2, 2]];
    // as many key/value heads as query heads, fewer, and one
    let heads = [(1, 1, 2), (2, 2, 4), (4, 2, 2), (3, 1, 6), (6, 2, 2)];
    for (lengths, (q, kv, dim)) in lengths.into_iter().flat_map(|l| heads.map(|h| (l, h))) {
        let (segments, heads) = (Segments::from_lengths(lengths), Heads { q, kv, dim });
        let qkv = normal("qkv", &[segments.tokens(), heads.qkv()]);
        let inv_freq: Vec<f64> = (0..dim / 2).map(|i| 0.3f64.powi(i as i32)).collect();
        let table = Tensor::new(&[8, dim], rope_table(8, &inv_freq));
        let positions = segments.positions().clone();
        let (narrow, part) = (segments.within(Some(2)), Tensor::new(&[8, 2], rope_table(8, &[0.7])));
        let positions2 = positions.clone();
        rows.push(row("attention", vec![qkv.clone()], move |v| ops::attention(&v[0], &segments, heads)));
        rows.push(row("attention", vec![qkv.clone()], move |v| ops::attention(&v[0], &narrow, heads)));
        rows.push(row("rope", vec![qkv.clone()], move |v| ops::rope(&v[0], &table, &positions, heads)));
        rows.push(row("rope", vec![qkv], move |v| ops::rope(&v[0], &part, &positions2, heads)));
    }
    for (n, heads) in [(1, Heads { q: 1, kv: 1, dim: 8 }), (3, Heads { q: 4, kv: 2, dim: 9 })] {
        let inputs =
            vec![normal("qkv", &[n, heads.qkv()]), normal("q_gain", &[heads.dim]), normal("k_gain", &[heads.dim])];
        rows.push(row("qk_norm", inputs, move |v| ops::qk_norm(&v[0], &v[1], &v[2], heads, 1e-5)));
    }
    rows
}

fn rows() -> Vec<Row> {
    let mut rows = one_element_rows();
    rows.extend(kinked_rows());
    rows.extend(layer_rows());
    rows.extend(attention_rows());
    rows
}

#[track_caller]
fn accept(what: &str, worst: Worst) -> f64 {
    assert!(worst.error < TOLERANCE, "{what}: {worst:?}");
    worst.error
}

#[test]
fn every_op_every_element() {
    let mut worst: Vec<(&str, usize, f64)> = Vec::new();
    for Row { op, inputs, f } in rows() {
        let shapes: Vec<_> = inputs.iter().map(Tensor::shape).collect();
        let error = accept(&format!("{op} {shapes:?}"), gradcheck(&inputs, f));
        match worst.iter_mut().find(|(name, ..)| *name == op) {
            Some((_, count, have)) => (*count, *have) = (*count + 1, have.max(error)),
            None => worst.push((op, 1, error)),
        }
    }
    for (op, count, error) in worst {
        println!("{op:<12} {count:>3} shapes, worst {error:.1e}");
    }
}

/// The list of ops is the `pub use` of `autograd::ops`; `entropy` is only for looking at.
#[test]
fn every_op_has_a_row() {
    let source = include_str!("../../autograd/src/ops/mod.rs");
    let exports = source.lines().filter_map(|line| line.strip_prefix("pub use ")?.split_once("::"));
    let names = exports.flat_map(|(_, names)| names.trim_matches(['{', '}', ';']).split(", "));
    let rows = rows();
    for name in names.filter(|name| *name != "entropy") {
        assert!(rows.iter().any(|row| row.op == name), "{name} has no row here");
    }
}

/// Larger shapes along random directions, so that blocked kernels see more than one block.
#[test]
fn larger_shapes_along_directions() {
    let cases = [
        row("linear", vec![normal("x", &[65, 70]), normal("w", &[33, 70]), normal("b", &[33])], |v| {
            ops::linear(&v[0], &v[1], Some(&v[2]))
        }),
        row("layer_norm", vec![normal("x", &[33, 129]), normal("w", &[129]), normal("b", &[129])], |v| {
            ops::layer_norm(&v[0], &v[1], &v[2], 1e-5)
        }),
        row("rms_norm", vec![normal("x", &[33, 129]), normal("w", &[129])], |v| ops::rms_norm(&v[0], &v[1], 1e-6)),
        row("swiglu", vec![normal("gu", &[31, 2 * 65])], |v| ops::swiglu(&v[0])),
        row("attention", vec![normal("qkv", &[100, 8 * 16])], |v| {
            let segments = Segments::from_lengths(&[33, 1, 66]);
            ops::attention(&v[0], &segments, Heads { q: 4, kv: 2, dim: 16 })
        }),
        row("logprob", vec![normal("logits", &[17, 517])], |v| {
            ops::logprob(&v[0], &Ids::new((0..17).map(|i| i * 31 % 517).collect()))
        }),
    ];
    for Row { op, inputs, f } in cases {
        println!("{op:<12} worst {:.1e}", accept(op, along(&inputs, 8, f)));
    }
}

/// A whole transformer block, whose norms share their gain.
#[test]
fn a_block() {
    let (c, heads) = (12, Heads { q: 3, kv: 1, dim: 4 });
    let shapes: [&[usize]; 6] = [&[7, c], &[c], &[heads.qkv(), c], &[c, c], &[2 * 10, c], &[c, 10]];
    // matrices with rows of about length 1, as a model has them
    let small = |x: Tensor| kernels::map(kernels::Unary::Scale, &x, [(c as f32).sqrt().recip(), 0.0]);
    let inputs = shapes.iter().enumerate().map(|(i, shape)| (i, normal(&format!("{i}"), shape)));
    let inputs: Vec<Tensor> = inputs.map(|(i, x)| if i < 2 { x } else { small(x) }).collect();
    let block = move |x: &Var, v: &[Var]| {
        let segments = Segments::from_lengths(&[3, 4]);
        let qkv = ops::linear(&ops::rms_norm(x, &v[1], 1e-5), &v[2], None);
        let x = x + ops::linear(&ops::attention(&qkv, &segments, heads), &v[3], None);
        let gate_up = ops::linear(&ops::rms_norm(&x, &v[1], 1e-5), &v[4], None);
        ops::linear(&ops::swiglu(&gate_up), &v[5], None) + x
    };
    println!("block        worst {:.1e}", accept("block", along(&inputs, 16, move |v| block(&v[0], v))));
}

/// The check finds a gradient that is wrong by a percent.
#[test]
fn a_wrong_gradient_is_found() {
    let wrong = |v: &[Var]| {
        let back = |dy: Tensor, _: [bool; 1]| [Some(kernels::map(kernels::Unary::Scale, &dy, [1.01, 0.0]))];
        record("wrong", [&v[0]], v[0].value().clone(), back)
    };
    assert!(gradcheck(&[normal("x", &[5])], wrong).error > 10.0 * TOLERANCE);
    assert!(along(&[normal("x", &[5])], 4, wrong).error > 3.0 * TOLERANCE);
}

/// A function that forgets its activations has the gradients of the one that does not.
#[test]
fn checkpointed_is_plain_bit_for_bit() {
    use autograd::{Init, ParamsBuilder};
    let mut builder = ParamsBuilder::default();
    let rng = Rng::new(5);
    let w = builder.add("w", &[9, 9], Init::Normal(0.4), true, rng);
    let b = builder.add("b", &[9], Init::Normal(0.4), false, rng);
    let e = builder.add("e", &[5, 9], Init::Normal(1.0), true, rng);
    let params = builder.build(&Device::Cpu);
    let ids = Ids::new(vec![3, 0, 3, 4, 1, 1]);
    let run = |checkpointed: bool, watch: &dyn Fn(autograd::ParamId) -> bool| {
        let mut grads = params.grads();
        let layer = move |weights: &autograd::Weights, x: &Var| {
            x + ops::gelu(&ops::linear(x, &weights[w], Some(&weights[b]))) * 0.5
        };
        let (loss, names) = params.backprop_some(&mut grads, watch, |weights| {
            let mut x = ops::embed(&weights[e], &ids);
            for _ in 0..4 {
                x = if checkpointed { checkpoint(weights, &x, layer) } else { layer(weights, &x) };
            }
            let loss = ops::sum(&ops::square(&x));
            let names = loss.tape_names();
            (loss, names)
        });
        (loss.item().to_bits(), grads.flat().to_vec().iter().map(|g| g.to_bits()).collect::<Vec<_>>(), names.len())
    };
    let all = |_| true;
    let (plain, short) = (run(false, &all), run(true, &all));
    assert_eq!((plain.0, &plain.1), (short.0, &short.1));
    assert!(short.2 < plain.2, "a checkpoint is one node");
    assert!(plain.1.iter().any(|&bits| f32::from_bits(bits) != 0.0));

    // frozen below and around: only b is watched, or only e
    for only in [b, e] {
        let some = |id| id == only;
        let (plain, short) = (run(false, &some), run(true, &some));
        assert_eq!((plain.0, plain.1), (short.0, short.1));
    }
}
