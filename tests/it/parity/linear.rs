//! Matrix products, element-wise functions, sums, optimizer, embeddings, random numbers, bf16.
use super::{Case, case, normals};
use kernels::matmul::{Size, plain};
use kernels::{AdamWStep, Binary, Form, Ids, Precision, Rng, Tensor, Unary};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (m, n, k) in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 64, 64), (65, 127, 100), (257, 130, 300), (600, 520, 48)]
    {
        cases.extend([Form::NN, Form::NT, Form::TN].map(|form| product(form, Size { m, n, k })));
    }
    for form in [Form::NN, Form::NT, Form::TN] {
        for s in [Size { m: 66, n: 40, k: 100 }, Size { m: 128, n: 64, k: 70 }] {
            cases.push(product_of(Precision::F32, form, s, [1e9, 1e-9]));
            cases.push(product_of(Precision::Bf16, form, s, [1e9, 1e-9]));
        }
    }
    // few rows: a step of generation
    for (m, n, k) in [(1, 96, 64), (1, 301, 257), (4, 50, 33), (5, 130, 64), (16, 65, 200)] {
        cases.push(product(Form::NT, Size { m, n, k }));
    }
    for (n, i, o) in [(1, 7, 5), (9, 33, 65), (70, 64, 96)] {
        cases.push(linear(n, i, o));
    }
    // the last is unpacked in two parts
    for (n, i, o) in [(1, 8, 5), (9, 33, 65), (70, 64, 96), (66, 800, 1501)] {
        cases.push(linear_bf16(n, i, o));
    }
    for n in [1, 255, 1000, 100_003] {
        cases.extend(Unary::ALL.map(|op| unary(op, n)));
        cases.extend(Binary::ALL.map(|op| binary(op, n)));
        cases.extend(updates(n));
        cases.extend(sums(n));
        cases.push(adamw(n));
        cases.extend(random(n));
        cases.push(bf16(n));
    }
    for (v, c, n) in [(1, 1, 1), (11, 5, 40), (300, 64, 700)] {
        cases.extend(index_selects(v, c, n));
    }
    cases
}

pub fn product(form: Form, s: Size) -> Case {
    product_of(Precision::F32, form, s, [1.0; 2])
}

/// Of operands of these sizes: activations may be large, gradients tiny, either beyond what f16 holds.
pub fn product_of(precision: Precision, form: Form, s: Size, sizes: [f32; 2]) -> Case {
    let (a, b) = match form {
        Form::NN => ([s.m, s.k], [s.k, s.n]),
        Form::NT => ([s.m, s.k], [s.n, s.k]),
        Form::TN => ([s.k, s.m], [s.k, s.n]),
    };
    let inputs = vec![(a.to_vec(), sizes[0]), (b.to_vec(), sizes[1]), (vec![64 + s.m * s.n], sizes[0] * sizes[1])];
    let run = move |x: &[Tensor]| {
        // a window of a larger array, as gradients are
        let mut c = x[2].view(64, &[s.m, s.n]);
        kernels::matmul_add_at(&mut c, 0, precision, form, &x[0], &x[1]);
        vec![kernels::matmul_in(precision, form, &x[0], &x[1]), c]
    };
    let loops = move |x: &[Vec<f64>]| {
        let (mut c, mut sum) = (vec![0.0; s.m * s.n], x[2][64..].to_vec());
        let [a, b] = [&x[0], &x[1]].map(|x| x.iter().map(|&x| precision.round(x as f32) as f64).collect::<Vec<_>>());
        plain::matmul(form, s, &a, &b, None, false, &mut c);
        plain::matmul(form, s, &a, &b, None, true, &mut sum);
        vec![c, sum]
    };
    let note = format!("{form:?} {} {:.0e} {:.0e}", precision.name(), sizes[0], sizes[1]);
    case("matmul", inputs, run, loops).noting(&note)
}

pub fn linear(n: usize, i: usize, o: usize) -> Case {
    let inputs = vec![(vec![n, i], 1.0), (vec![o, i], 1.0), (vec![o], 1.0)];
    let run = |x: &[Tensor]| vec![kernels::linear(&x[0], &x[1], Some(&x[2]))];
    let loops = move |x: &[Vec<f64>]| {
        let mut y = vec![0.0; n * o];
        plain::matmul(Form::NT, Size { m: n, n: o, k: i }, &x[0], &x[1], Some(&x[2]), false, &mut y);
        vec![y]
    };
    case("linear", inputs, run, loops)
}

fn linear_bf16(n: usize, i: usize, o: usize) -> Case {
    let inputs = vec![(vec![n, i], 1.0), (vec![o, i], 1.0), (vec![o], 1.0), (vec![n, o], 1.0)];
    let run = |x: &[Tensor]| {
        let (w, f32) = (kernels::pack_bf16(&x[1]), kernels::Precision::F32);
        vec![kernels::linear_bf16(f32, &x[0], &w, Some(&x[2])), kernels::linear_bf16_back(f32, &x[3], &w)]
    };
    let loops = move |x: &[Vec<f64>]| {
        let (mut y, mut dx) = (vec![0.0; n * o], vec![0.0; n * i]);
        let w: Vec<f64> = x[1].iter().map(|&w| Precision::Bf16.round(w as f32) as f64).collect();
        plain::matmul(Form::NT, Size { m: n, n: o, k: i }, &x[0], &w, Some(&x[2]), false, &mut y);
        plain::matmul(Form::NN, Size { m: n, n: i, k: o }, &x[3], &w, None, false, &mut dx);
        vec![y, dx]
    };
    case("linear_bf16", inputs, run, loops)
}

fn unary(op: Unary, n: usize) -> Case {
    let p = [-0.7, 0.9];
    let loops = move |x: &[Vec<f64>]| {
        let (mut x, mut y) = (x[0].clone(), vec![0.0; n]);
        if op == Unary::Log {
            x.iter_mut().for_each(|x| *x *= *x); // of squares: what it says of negative numbers differs by driver
        }
        kernels::elementwise::plain::map(op, &x, p.map(|p| p as f32 as f64), &mut y);
        vec![y]
    };
    // a wide range, so that the ends of exp and tanh are met
    let run = move |x: &[Tensor]| {
        let x = if op == Unary::Log { kernels::map(Unary::Square, &x[0], [0.0; 2]) } else { x[0].clone() };
        vec![kernels::map(op, &x, p.map(|p| p as f32))]
    };
    case(op.name(), vec![(vec![n], if op == Unary::Exp { 2.0 } else { 8.0 })], run, loops)
}

fn binary(op: Binary, n: usize) -> Case {
    let p = [-0.7, 0.9];
    let loops = move |x: &[Vec<f64>]| {
        let mut y = vec![0.0; n];
        kernels::elementwise::plain::zip(op, &x[0], &x[1], p.map(|p| p as f32 as f64), &mut y);
        vec![y]
    };
    let run = move |x: &[Tensor]| vec![kernels::zip(op, &x[0], &x[1], p.map(|p| p as f32))];
    case(op.name(), vec![(vec![n], 1.0), (vec![n], 4.0)], run, loops)
}

/// The updates in place.
fn updates(n: usize) -> [Case; 4] {
    use kernels::elementwise::plain;
    let inputs = || vec![(vec![n + 100], 1.0), (vec![n], 1.0)];
    let add_at = |offset: usize| {
        let run = move |x: &[Tensor]| {
            let mut y = x[0].clone();
            kernels::add_at(&mut y, offset, 0.5, &x[1]);
            vec![y]
        };
        let loops = move |x: &[Vec<f64>]| {
            let mut y = x[0].clone();
            plain::axpy(&mut y[offset..][..n], 0.5, &x[1]);
            vec![y]
        };
        case("add_at", inputs(), run, loops).noting(&format!("at {offset}"))
    };
    let same = || vec![(vec![n], 1.0), (vec![n], 1.0)];
    let t = 0.008f32;
    let lerp = |x: &[Tensor]| {
        let mut y = x[0].clone();
        kernels::lerp(&mut y, 0.008, &x[1]);
        vec![y]
    };
    let scale = |x: &[Tensor]| {
        let mut y = x[0].clone();
        kernels::scale_in_place(&mut y, -1.5);
        vec![y]
    };
    let in_place = |f: fn(&mut [f64], f64, &[f64]), by: f64| {
        move |x: &[Vec<f64>]| {
            let mut y = x[0].clone();
            f(&mut y, by, &x[1]);
            vec![y]
        }
    };
    [
        add_at(64),
        add_at(37),
        case("lerp", same(), lerp, in_place(plain::lerp, t as f64)),
        case("scale_in_place", same(), scale, in_place(|y, s, _| plain::scale(y, s), -1.5)),
    ]
}

pub fn sums(n: usize) -> [Case; 4] {
    use kernels::reduce::plain;
    let root = (n as f64).sqrt();
    let two = || vec![(vec![n], 1.0), (vec![n], 1.0)];
    let sum = |x: &[Tensor]| vec![kernels::sum(&x[0])];
    let dot = |x: &[Tensor]| vec![kernels::dot(&x[0], &x[1]), kernels::sum_squares(&x[0])];
    let (rows, cols) = (n.div_ceil(37), 37);
    let sum_rows = |x: &[Tensor]| vec![kernels::sum_rows(&x[0])];
    let sum_rows_loops = move |x: &[Vec<f64>]| {
        let mut y = vec![0.0; cols];
        plain::sum_rows(&x[0], cols, &mut y);
        vec![y]
    };
    // non-finite numbers do not survive a trip through `case`'s f64 inputs unharmed: made here
    let mut spoilt = normals(Rng::new(3), n, 1.0);
    for (i, x) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX].into_iter().enumerate() {
        spoilt[i * 7 % n] = x;
    }
    let count = plain::count_non_finite(&spoilt) as f64;
    let non_finite = move |x: &[Tensor]| {
        let spoilt = Tensor::from_slice(&x[0].device(), &[n], &spoilt);
        vec![kernels::count_non_finite(&spoilt)]
    };
    [
        case("sum", two(), sum, |x| vec![vec![plain::sum(&x[0])]]).within(1e-6 * root.max(10.0)),
        case("dot", two(), dot, |x| vec![vec![plain::dot(&x[0], &x[1])], vec![plain::dot(&x[0], &x[0])]])
            .within(1e-6 * root.max(10.0)),
        case("sum_rows", vec![(vec![rows, cols], 1.0)], sum_rows, sum_rows_loops).within(1e-4),
        case("count_non_finite", two(), non_finite, move |_| vec![vec![count]]).within(0.0),
    ]
}

pub fn adamw(n: usize) -> Case {
    let step = AdamWStep {
        lr: 0.01,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        decayed: n / 3,
        correction1: 1.0 - 0.9f32.powi(3),
        correction2: 1.0 - 0.95f32.powi(3),
        grad_scale: 0.7,
    };
    let run = move |x: &[Tensor]| {
        let (mut p, mut m, mut v) = (x[0].clone(), x[2].clone(), kernels::map(Unary::Square, &x[3], [0.0; 2]));
        kernels::adamw(&mut p, &x[1], &mut m, &mut v, &step);
        vec![p, m, v]
    };
    let loops = move |x: &[Vec<f64>]| {
        let (mut p, mut m) = (x[0].clone(), x[2].clone());
        let mut v: Vec<f64> = x[3].iter().map(|x| x * x).collect();
        kernels::adamw::plain::adamw(&mut p, &x[1], &mut m, &mut v, &step);
        vec![p, m, v]
    };
    case("adamw", vec![(vec![n], 1.0), (vec![n], 0.1), (vec![n], 0.1), (vec![n], 0.1)], run, loops)
}

pub fn index_selects(v: usize, c: usize, n: usize) -> [Case; 2] {
    use kernels::index_select::plain;
    let mut draws = Rng::new(5).draws();
    // the first rows are used most, the last perhaps never
    let ids = Ids::new((0..n).map(|_| (draws.below(v) * draws.below(v) / v) as u32).collect());
    let (ids2, ids3, ids4) = (ids.clone(), ids.clone(), ids.clone());
    let loops = move |x: &[Vec<f64>]| {
        let mut y = vec![0.0; n * c];
        plain::index_select(&x[0], c, ids2.host(), &mut y);
        vec![y]
    };
    let back_loops = move |x: &[Vec<f64>]| {
        let mut dw = vec![0.0; v * c];
        plain::index_select_back(&x[0], c, ids4.host(), &mut dw);
        vec![dw]
    };
    [
        case("index_select", vec![(vec![v, c], 1.0)], move |x| vec![kernels::index_select(&x[0], &ids)], loops)
            .within(0.0),
        case(
            "index_select_back",
            vec![(vec![n, c], 1.0)],
            move |x| vec![kernels::index_select_back(&x[0], &ids3, v)],
            back_loops,
        ),
    ]
}

fn random(n: usize) -> [Case; 2] {
    use kernels::random::plain;
    let rng = Rng::new(11).stream("parity");
    let uniform = move |x: &[Tensor]| vec![kernels::uniform(rng, &x[0].device(), &[n])];
    let uniform_loops = move |_: &[Vec<f64>]| {
        let mut y = vec![0.0; n];
        plain::uniform(rng, &mut y);
        vec![y.into_iter().map(f64::from).collect()]
    };
    let dropout = move |x: &[Tensor]| vec![kernels::dropout(&x[0], 0.2, rng)];
    let dropout_loops = move |x: &[Vec<f64>]| {
        let mut y = vec![0.0; n];
        plain::dropout(&x[0], 0.2, rng, &mut y);
        vec![y]
    };
    [
        // the same bits
        case("uniform", vec![(vec![1], 1.0)], uniform, uniform_loops).noting(&format!("[{n}]")).within(0.0),
        case("dropout", vec![(vec![n], 1.0)], dropout, dropout_loops).within(1e-6),
    ]
}

fn bf16(n: usize) -> Case {
    use kernels::bf16::plain;
    let loops = |x: &[Vec<f64>]| {
        let rounded = x[0].iter().map(|&x| f32::from_bits((plain::round(x as f32) as u32) << 16) as f64);
        vec![rounded.collect()]
    };
    case("bf16", vec![(vec![n], 3.0)], |x| vec![kernels::unpack_bf16(&kernels::pack_bf16(&x[0]))], loops).within(0.0)
}
