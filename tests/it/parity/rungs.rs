//! Every rung of every kernel against the plain loop; and kernels whose arrays one binding cannot cover.
use super::{Case, all, error, linear, rows};
use kernels::gpu::{Gpu, ladders};
use kernels::matmul::Size;
use kernels::{Device, Form};
use std::sync::Arc;

/// Which cases call a kernel that has a ladder.
fn calls(ladder: &str, case: &Case) -> bool {
    match ladder {
        "matmul" | "matmul_few" => matches!(case.kernel, "matmul" | "linear"),
        "attention_back_q" | "attention_back_kv" => case.kernel == "attention",
        "norm" | "norm_back" => matches!(case.kernel, "layer_norm" | "rms_norm"),
        other => case.kernel == other,
    }
}

/// Shapes of real models beside the odd ones: split and unsplit products, a decoding step, a large vocabulary, a
/// long past.
fn real() -> Vec<Case> {
    let products = [(Form::NT, [160, 768, 768]), (Form::TN, [64, 192, 4096]), (Form::NN, [100, 128, 2048])]
        .map(|(form, [m, n, k])| linear::product(form, Size { m, n, k }));
    let decoding =
        [[1, 1536, 576], [3, 576, 1536], [16, 960, 576]].map(|[m, n, k]| linear::product(Form::NT, Size { m, n, k }));
    let past = super::attention::cached(&[600, 20], kernels::Heads { q: 9, kv: 3, dim: 64 }, None);
    let context = super::attention::attention(&[257, 40], kernels::Heads { q: 3, kv: 3, dim: 64 }, None);
    products
        .into_iter()
        .chain(decoding)
        .chain(rows::logprob(5, 50257))
        .chain([past, context, linear::adamw(1536)])
        .collect()
}

fn gpu() -> Option<Arc<Gpu>> {
    match crate::gpu::device()? {
        Device::Gpu(gpu) => Some(gpu),
        Device::Cpu => unreachable!("a GPU was asked for"),
    }
}

/// Runs the cases of every ladder on each of its rungs, prints a line for each, and fails if one is wrong.
/// The rungs that no case ran on: the adapter cannot, or none of the shapes fits.
fn climb(gpu: &Arc<Gpu>, cases: &[Case]) -> Vec<String> {
    let device = Device::Gpu(gpu.clone());
    let (mut failures, mut total, mut idle) = (Vec::new(), 0, Vec::new());
    for (ladder, rungs) in ladders() {
        for rung in &rungs {
            let half = rung == "matrix" || rung == "matrix split";
            let (mut ran, mut worst) = (0, 0f64);
            for case in cases.iter().filter(|case| calls(ladder, case)) {
                gpu.force(ladder, Some(rung));
                let got = (case.run)(&device);
                if !gpu.choices().iter().any(|choice| choice.kernel == ladder && choice.rung == *rung) {
                    continue;
                }
                let rounds = half && !case.shapes.contains("bf16"); // whose numbers f16 holds
                let (error, within) = (error(&got, &case.want), if rounds { 5e-3 } else { case.within });
                if error > within || error.is_nan() {
                    failures.push(format!("{ladder} {rung:?} {}: {error:.1e} > {within:.0e}", case.shapes));
                }
                (ran, worst) = (ran + 1, worst.max(error));
            }
            gpu.force(ladder, None);
            println!("  {ladder:<18} {rung:<22} {ran:>4} cases, worst error {worst:.1e}");
            total += ran;
            if ran == 0 {
                idle.push(format!("{ladder} {rung}"));
            }
        }
    }
    println!("{total} cases on {}; rungs that none ran on: {idle:?}", gpu.name());
    assert!(failures.is_empty(), "on {}:\n{}", gpu.name(), failures.join("\n"));
    idle
}

#[test]
fn every_rung_matches_the_plain_loops() {
    let Some(gpu) = gpu() else { return };
    let idle = climb(&gpu, &all().into_iter().chain(real()).collect::<Vec<_>>());
    let wants = ["matrix", "subgroups", "shared by"]; // features
    assert!(idle.iter().all(|rung| wants.iter().any(|word| rung.contains(word))), "no case runs some of {idle:?}");
}

/// Small shapes, for slow eyes: tests/gpu/legs runs this on SwiftShader, and under a layer that reports data races.
#[test]
#[ignore = "every_rung_matches_the_plain_loops does more"]
fn small_shapes_of_every_rung() {
    let Some(gpu) = gpu() else { return };
    let heads = kernels::Heads { q: 2, kv: 1, dim: 16 };
    let cases = [
        linear::product(Form::NT, Size { m: 20, n: 36, k: 40 }),
        linear::product(Form::TN, Size { m: 36, n: 20, k: 40 }),
        linear::product(Form::NN, Size { m: 20, n: 20, k: 520 }),
        linear::product_of(kernels::Precision::F32, Form::NT, Size { m: 32, n: 64, k: 70 }, [1e9, 1e-9]),
        linear::product_of(kernels::Precision::Bf16, Form::TN, Size { m: 36, n: 20, k: 40 }, [1e-9, 1e9]),
        linear::product(Form::NT, Size { m: 3, n: 20, k: 40 }),
        super::attention::attention(&[3, 70], heads, None),
        super::attention::cached(&[2, 300], heads, None),
        rows::layer_norm(5, 70),
        rows::rms_norm(5, 70),
        linear::adamw(768),
    ];
    climb(&gpu, &cases.into_iter().chain(rows::logprob(3, 300)).collect::<Vec<_>>());
    let others = [rows::sample(2, 300, kernels::Sampling { temperature: 1.0, top_k: 9, top_p: 0.9 })];
    for case in others.into_iter().chain(linear::sums(1000)) {
        let error = error(&(case.run)(&Device::Gpu(gpu.clone())), &case.want);
        assert!(error <= case.within, "{} {}: {error:.1e}", case.kernel, case.shapes);
    }
}

/// Bindings of 2 MiB: tables, products, logits and flat buffers all go in parts.
#[test]
fn arrays_beyond_a_binding_go_in_parts() {
    if crate::gpu::device().is_none() {
        return;
    }
    let gpu = Gpu::open_within(None, true, 2 << 20).expect("it was there a moment ago");
    assert_eq!(gpu.max_binding_words(), 1 << 19);
    let device = Device::Gpu(gpu.clone());
    let products = [Form::NN, Form::NT, Form::TN].into_iter().flat_map(|form| {
        [[130, 5003, 120], [5003, 120, 130], [110, 90, 5003], [3, 5003, 120]]
            .map(|[m, n, k]| linear::product(form, Size { m, n, k }))
    });
    let tables = linear::index_selects(5003, 120, 300).into_iter().chain(rows::logprob(130, 5003));
    let sampling = rows::sample(130, 5003, kernels::Sampling { temperature: 1.0, top_k: 7, top_p: 0.9 });
    let flat = [linear::adamw(1_200_000), linear::linear(130, 96, 5003)];
    let cases: Vec<Case> = products.chain(tables).chain([sampling]).chain(flat).collect();
    let mut failures = Vec::new();
    for case in &cases {
        let error = error(&(case.run)(&device), &case.want);
        if error > case.within.max(5e-5) || error.is_nan() {
            failures.push(format!("{} {}: {error:.1e}", case.kernel, case.shapes));
        }
    }
    println!("{} cases with bindings of 2 MiB", cases.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
