//! Kernels that work row by row: norms, swiglu, columns, log-probabilities, sampling.
use super::{Case, case, normals};
use kernels::{Device, Ids, Rng, Sampling, Tensor};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, c) in [(1, 1), (3, 5), (65, 64), (200, 96), (301, 257), (2, 1000)] {
        cases.push(layer_norm(n, c));
        cases.push(rms_norm(n, c));
        cases.extend(swiglu(n, c));
        cases.push(columns(n, c));
    }
    for (n, v) in [(1, 2), (7, 33), (65, 512), (3, 5003)] {
        cases.extend(logprob(n, v));
    }
    for (r, v) in [(1, 3), (9, 130), (40, 511), (3, 5003)] {
        for how in [
            Sampling::GREEDY,
            Sampling::temperature(1.0),
            Sampling::temperature(0.7),
            Sampling { temperature: 1.0, top_k: 5, top_p: 1.0 },
            Sampling { temperature: 1.3, top_k: 0, top_p: 0.8 },
            Sampling { temperature: 0.9, top_k: 20, top_p: 0.95 },
        ] {
            cases.push(sample(r, v, how));
        }
    }
    cases
}

/// The plain loops write into slices: this makes them.
fn zeros<const N: usize>(sizes: [usize; N]) -> [Vec<f64>; N] {
    sizes.map(|n| vec![0.0; n])
}

pub fn layer_norm(n: usize, c: usize) -> Case {
    use kernels::norm::plain;
    let inputs = vec![(vec![n, c], 2.0), (vec![c], 1.0), (vec![c], 1.0), (vec![n, c], 1.0)];
    let run = |x: &[Tensor]| {
        let (y, stats) = kernels::layer_norm(&x[0], &x[1], &x[2], 1e-5);
        let [dx, dw, db] = kernels::layer_norm_back(&x[3], &x[0], &x[1], &stats);
        vec![y, stats, dx, dw, db]
    };
    let loops = move |x: &[Vec<f64>]| {
        let [mut y, mut stats, mut dx, mut dw, mut db] = zeros([n * c, 2 * n, n * c, c, c]);
        plain::layer_norm(&x[0], &x[1], &x[2], 1e-5, &mut y, &mut stats);
        plain::layer_norm_back(&x[3], &x[0], &x[1], &stats, &mut dx, &mut dw, &mut db);
        vec![y, stats, dx, dw, db]
    };
    case("layer_norm", inputs, run, loops).within(if c == 1 { 2e-3 } else { 5e-5 })
}

pub fn rms_norm(n: usize, c: usize) -> Case {
    use kernels::norm::plain;
    let inputs = vec![(vec![n, c], 2.0), (vec![c], 1.0), (vec![n, c], 1.0)];
    let run = |x: &[Tensor]| {
        let (y, rstd) = kernels::rms_norm(&x[0], &x[1], 1e-5);
        let [dx, dw] = kernels::rms_norm_back(&x[2], &x[0], &x[1], &rstd);
        vec![y, rstd, dx, dw]
    };
    let loops = move |x: &[Vec<f64>]| {
        let [mut y, mut rstd, mut dx, mut dw] = zeros([n * c, n, n * c, c]);
        plain::rms_norm(&x[0], &x[1], 1e-5, &mut y, &mut rstd);
        plain::rms_norm_back(&x[2], &x[0], &x[1], &rstd, &mut dx, &mut dw);
        vec![y, rstd, dx, dw]
    };
    case("rms_norm", inputs, run, loops).within(5e-5)
}

fn swiglu(n: usize, f: usize) -> [Case; 2] {
    use kernels::swiglu::plain;
    let loops = move |x: &[Vec<f64>]| {
        let [mut y] = zeros([n * f]);
        plain::swiglu(&x[0], f, &mut y);
        vec![y]
    };
    let back_loops = move |x: &[Vec<f64>]| {
        let [mut dgu] = zeros([n * 2 * f]);
        plain::swiglu_back(&x[0], &x[1], f, &mut dgu);
        vec![dgu]
    };
    let back_inputs = vec![(vec![n, f], 1.0), (vec![n, 2 * f], 3.0)];
    [
        case("swiglu", vec![(vec![n, 2 * f], 3.0)], |x| vec![kernels::swiglu(&x[0])], loops),
        case("swiglu_back", back_inputs, |x| vec![kernels::swiglu_back(&x[0], &x[1])], back_loops),
    ]
}

/// A part of x in y, and a part of y cut out again.
fn columns(n: usize, c: usize) -> Case {
    use kernels::columns::plain;
    let (wide, start) = (c + 5, 3);
    let run = move |x: &[Tensor]| {
        let mut y = x[1].clone();
        kernels::set_columns(&mut y, start, &x[0]);
        let cut = kernels::slice_columns(&y, 1..1 + c);
        vec![y, cut]
    };
    let loops = move |x: &[Vec<f64>]| {
        let (mut y, [mut cut]) = (x[1].clone(), zeros([n * c]));
        plain::copy(&x[0], c, 0, &mut y, wide, start, c);
        plain::copy(&y, wide, 1, &mut cut, c, 0, c);
        vec![y, cut]
    };
    case("columns", vec![(vec![n, c], 1.0), (vec![n, wide], 1.0)], run, loops).within(1e-7)
}

pub fn logprob(n: usize, v: usize) -> [Case; 2] {
    use kernels::logprob::plain;
    let mut draws = Rng::new(9).draws();
    let ids = Ids::new((0..n).map(|_| draws.below(v) as u32).collect());
    let (run_ids, loop_ids) = (ids.clone(), ids);
    let run = move |x: &[Tensor]| {
        let (lp, lse) = kernels::logprob(&x[0], &run_ids);
        let dlogits = kernels::logprob_back(&x[1], x[0].clone(), &run_ids, &lse);
        vec![lp, lse, dlogits]
    };
    let loops = move |x: &[Vec<f64>]| {
        let [mut lp, mut lse] = zeros([n, n]);
        plain::logprob(&x[0], v, loop_ids.host(), &mut lp, &mut lse);
        let mut dlogits = x[0].clone();
        plain::logprob_back(&x[1], &mut dlogits, v, loop_ids.host(), &lse);
        vec![lp, lse, dlogits]
    };
    let entropy = |x: &[Tensor]| vec![kernels::entropy(&x[0], &x[1])];
    let entropy_loops = move |x: &[Vec<f64>]| {
        let [mut h] = zeros([n]);
        plain::entropy(&x[0], v, &x[1], &mut h);
        vec![h]
    };
    [
        case("logprob", vec![(vec![n, v], 3.0), (vec![n], 1.0)], run, loops),
        case("entropy", vec![(vec![n, v], 0.5), (vec![n], 1.0)], entropy, entropy_loops).within(1e-4),
    ]
}

/// Ids count as numbers: one wrong id is an error of at least 1e-4 of a vocabulary.
pub fn sample(r: usize, v: usize, how: Sampling) -> Case {
    let rng = Rng::new(21).stream("sample");
    let data = normals(rng, r * v, 2.0);
    let streams: Vec<u32> = (0..r as u32).map(|i| i * 31 + 5).collect();
    let positions: Vec<u32> = (0..r as u32).map(|i| i * i % 17).collect();
    let wide: Vec<f64> = data.iter().map(|&x| x as f64).collect();
    let (ids, lp) = kernels::sample::plain::sample(&wide, v, &how, rng, &streams, &positions);
    let want = vec![ids.iter().map(|&id| id as f64).collect(), lp];
    let run = move |device: &Device| {
        let logits = Tensor::from_slice(device, &[r, v], &data);
        let (ids, lp) = kernels::sample(&logits, &how, rng, &streams, &positions);
        vec![ids.into_iter().map(|id| id as f32).collect(), lp]
    };
    Case { kernel: "sample", shapes: format!("[{r}, {v}] {how:?}"), run: Box::new(run), want, within: 1e-5 }
}
