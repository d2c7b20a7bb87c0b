//! Differentiable ops. Each is one function: the value, computed with kernels, then the way back to each
//! input, recorded. What backward needs is what the closure captures.
//!
//! Nothing broadcasts by itself: shapes that do not fit panic at the caller's line. Every op has a row in
//! `tests/it/gradcheck.rs`.

mod activation;
mod arithmetic;
mod attention;
mod axes;
mod dropout;
mod index_select;
mod linear;
mod logprob;
mod norm;
mod reduce;
mod softmax;

pub use activation::{exp, gelu, gelu_erf, log, log_sigmoid, relu, sigmoid, silu, square, swiglu, tanh};
pub use arithmetic::{add, add_columns, clamp, div, max, min, mul, neg, scale, shift, sub};
pub use attention::{attention, rope};
pub use axes::{concat, reshape, slice, transpose};
pub use dropout::dropout;
pub use index_select::{embed, index_select, pick};
pub use linear::{linear, linear_bf16, linear_in, matmul};
pub use logprob::{entropy, logprob};
pub use norm::{layer_norm, qk_norm, rms_norm};
pub use reduce::{dot, mean, sum};
pub use softmax::softmax;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Var;
    use kernels::{Heads, Ids, Segments, Tensor};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn var(shape: &[usize]) -> Var {
        Var::from(Tensor::full(&kernels::Device::Cpu, shape, 0.5))
    }

    /// What a call that cannot be says.
    fn said(call: impl FnOnce() -> Var) -> String {
        let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("these shapes do not fit");
        *panic.downcast::<String>().expect("words")
    }

    #[test]
    fn shapes_that_do_not_fit_are_said_in_the_words_of_the_call() {
        let (x, w) = (var(&[4, 3]), var(&[3, 2]));
        let (b, v) = (var(&[5]), var(&[3]));
        let heads = Heads { q: 2, kv: 1, dim: 4 };
        let one = "takes two arrays of one shape (nothing broadcasts by itself); got a [4, 3], b [3, 2]";
        let ids = Ids::new(vec![1, 7]);
        for (said, want) in [
            (said(|| linear(&x, &w, None)), "linear takes x [N, I], w [O, I]; got x [4, 3], w [3, 2]"),
            (
                said(|| linear(&x, &x, Some(&b))),
                "linear takes x [N, I], w [O, I], b [O]; got x [4, 3], w [4, 3], b [5]",
            ),
            (said(|| linear(&v, &x, None)), "linear takes x [N, I], w [O, I]; got x [3], w [4, 3]"),
            (said(|| matmul(&x, &x)), "matmul takes a [M, K], b [K, N]; got a [4, 3], b [4, 3]"),
            (said(|| matmul(&x, &v)), "matmul takes a [M, K], b [K, N]; got a [4, 3], b [3]"),
            (said(|| &x + &w), &format!("add {one}")),
            (said(|| &x / &w), &format!("div {one}")),
            (said(|| max(&x, &w)), &format!("max {one}")),
            (said(|| transpose(&v)), "transpose takes x [N, C]; got x [3]"),
            (said(|| slice(&x, 1, 2..4)), "slice 2..4 along axis 1 takes an x that has it; got x [4, 3]"),
            (said(|| slice(&x, 2, 0..1)), "slice 0..1 along axis 2 takes an x that has it; got x [4, 3]"),
            (
                said(|| concat([&x, &w], 0)),
                "concat along axis 0 takes parts that are equal in all others; got first [4, 3], part [3, 2]",
            ),
            (said(|| embed(&v, &ids)), "embed takes table [V, C]; got table [3]"),
            (said(|| embed(&x, &ids)), "id 7 of a table of 4 rows"),
            (said(|| pick(&v, &ids)), "id 7 of a table of 3 rows"),
            (said(|| logprob(&x, &ids)), "logprob takes logits [N, V], ids [N]; got logits [4, 3], ids [2]"),
            (said(|| swiglu(&x)), "swiglu takes gu [N, 2F]; got gu [4, 3]"),
            (said(|| rms_norm(&x, &b, 1e-5)), "rms_norm takes x [.., C], w [C]; got x [4, 3], w [5]"),
            (
                said(|| layer_norm(&x, &v, &b, 1e-5)),
                "layer_norm takes x [.., C], w [C], b [C]; got x [4, 3], w [3], b [5]",
            ),
            (said(|| dot(&x, w.value())), "dot takes x and weights of one shape; got x [4, 3], weights [3, 2]"),
            (
                said(|| attention(&x, &Segments::from_lengths(&[4]), heads)),
                "attention of Heads { q: 2, kv: 1, dim: 4 } takes qkv [4, 16]; got qkv [4, 3]",
            ),
            (
                said(|| qk_norm(&x, &v, &v, heads, 1e-5)),
                "qk_norm of Heads { q: 2, kv: 1, dim: 4 } takes qkv [N, 16], q_gain [4], k_gain [4]; \
                 got qkv [4, 3], q_gain [3], k_gain [3]",
            ),
        ] {
            assert_eq!(said, want);
        }
    }

    #[test]
    fn a_shape_is_wrong_at_the_line_that_calls() {
        use std::sync::{Arc, Mutex};
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (seen, before) = (lines.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |info| {
            let at = info.location().expect("always there");
            seen.lock().unwrap().push((at.file().to_string(), at.line()));
        }));
        let here = line!();
        said(|| linear(&var(&[4, 3]), &var(&[3, 2]), None));
        said(|| &var(&[1]) + &var(&[2]));
        said(|| transpose(&var(&[2])));
        std::panic::set_hook(before);
        for line in here + 1..=here + 3 {
            assert!(lines.lock().unwrap().contains(&(file!().to_string(), line)));
        }
    }

    #[test]
    fn probabilities_add_up_to_one() {
        let x = Var::from(Tensor::new(&[2, 3], vec![1000.0, 1000.0, -1e9, -3.0, -3.0, -3.0]));
        let third = 1.0 / 3.0;
        let want = [0.5, 0.5, 0.0, third, third, third];
        let got = softmax(&x).value().to_vec();
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 2e-4), "{got:?}");
    }
}
