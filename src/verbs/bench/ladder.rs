//! `rlhf bench --ladder matmul`: the same product, each rung with one idea more than the one before it.

use super::median_seconds;
use crate::error::{Failure, Result};
use crate::session::Common;
use kernels::cpu::simd::{Isa, each_isa};
use kernels::{Device, Form, Precision, Rng, Tensor, matmul_in, normal};
use serde_json::{Value, json};
use std::hint::black_box;

const SIDE: usize = 768;

/// c = a b, the three loops as they are written in a book: every b is fetched from another row.
fn naive(a: &[f32], b: &[f32], c: &mut [f32]) {
    for i in 0..SIDE {
        for j in 0..SIDE {
            c[i * SIDE + j] = (0..SIDE).map(|k| a[i * SIDE + k] * b[k * SIDE + j]).sum();
        }
    }
}

/// The inner two loops change places: rows of b and c are walked as they lie, which the compiler vectorises.
fn reordered(a: &[f32], b: &[f32], c: &mut [f32]) {
    c.fill(0.0);
    for (a, c) in a.chunks_exact(SIDE).zip(c.chunks_exact_mut(SIDE)) {
        for (&a, b) in a.iter().zip(b.chunks_exact(SIDE)) {
            c.iter_mut().zip(b).for_each(|(c, &b)| *c += a * b);
        }
    }
}

/// In blocks of b that stay in the second-level cache while all rows of a pass by.
fn blocked(a: &[f32], b: &[f32], c: &mut [f32]) {
    const K: usize = 64;
    const J: usize = 256;
    c.fill(0.0);
    for k in (0..SIDE).step_by(K) {
        for j in (0..SIDE).step_by(J) {
            for i in 0..SIDE {
                let c = &mut c[i * SIDE + j..][..J];
                for k in k..k + K {
                    let (a, b) = (a[i * SIDE + k], &b[k * SIDE + j..][..J]);
                    c.iter_mut().zip(b).for_each(|(c, &b)| *c += a * b);
                }
            }
        }
    }
}

fn matmul(common: &Common) -> Result {
    let device = Device::Cpu;
    let noise = |name| normal(Rng::new(1).stream(name), &device, &[SIDE, SIDE], 1.0);
    let (a, b) = (noise("a"), noise("b"));
    let mut rungs: Vec<(String, f64)> = Vec::new();
    let mut climb = |rung: String, work: &mut dyn FnMut()| rungs.push((rung, median_seconds(&device, work)));

    let mut c = vec![0.0; SIDE * SIDE];
    let loops: [(&str, fn(&[f32], &[f32], &mut [f32])); 3] = [
        ("naive: three loops", naive),
        ("reordered: rows as they lie", reordered),
        ("blocked: parts that stay in the cache", blocked),
    ];
    for (rung, product) in loops {
        climb(format!("{rung}, one thread"), &mut || product(a.data(), b.data(), black_box(&mut c)));
    }
    let multiply = |precision| black_box::<Tensor>(matmul_in(precision, Form::NN, &a, &b));
    each_isa(|isa| {
        let rung = match isa {
            Isa::Portable => "packed: panels of b, a tile of sums in registers, all threads".to_string(),
            isa => format!("vectorised: the same with {}", isa.name()),
        };
        climb(rung, &mut || drop(multiply(Precision::F32)));
    });
    climb("bf16: pairs multiplied, sums in f32".into(), &mut || drop(multiply(Precision::Bf16)));

    let gflops = |seconds: f64| 2.0 * (SIDE * SIDE * SIDE) as f64 / seconds / 1e9;
    if common.json {
        let row = |(rung, s): &(String, f64)| json!({"rung": rung, "ms": 1e3 * s, "gflops": gflops(*s)});
        println!("{}", Value::Array(rungs.iter().map(row).collect()));
        return Ok(());
    }
    println!("{SIDE} × {SIDE} × {SIDE}\n");
    for (rung, seconds) in &rungs {
        println!(
            "{rung:<64} {:>9.3} ms {:>8.1} GFLOP/s {:>6.1} ×",
            1e3 * seconds,
            gflops(*seconds),
            rungs[0].1 / seconds
        );
    }
    Ok(())
}

/// The ladder that was asked for.
pub fn climb(name: &str, common: &Common) -> Result {
    match name {
        "matmul" => matmul(common),
        other => Err(Failure::usage(format!("--ladder {other}: there is one of matmul"))),
    }
}
