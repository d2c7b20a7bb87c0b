//! Finite differences against the tape: is each backward the derivative of its forward?
//!
//! The function under test maps some inputs to one array y. A fixed random array r of y's shape turns that
//! into one number, Σ r·y, summed in f64. The tape gives its derivative by every element of every input
//! in one pass back from dy = r; finite differences give each with four passes forward.
//!
//! Forward runs in f32, so the stencil is a wide one: five points, (8(f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h.
//! Its error is h⁴/30 times the fifth derivative (3e-8 of it for h = 1/32), while the rounding of y costs
//! 6e-8·|y| / h = 2e-6·|y| for each of the numbers in y. Both are well under [`TOLERANCE`]; a wrong term in
//! a gradient is not. Inputs must stay 2h away from kinks.
use crate::{Grads, Init, ParamId, Params, ParamsBuilder, Var};
use kernels::{Device, Rng, Tensor};

/// What `Worst::error` of a right gradient stays under.
pub const TOLERANCE: f64 = 2e-4;

/// How far one element alone is moved.
const H: f32 = 1.0 / 32.0;
/// How far each element is moved where all move at once.
const H_ALONG: f32 = H / 4.0;

/// Where tape and finite differences differ most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worst {
    /// |difference| / (1 + |how large such a derivative is|)
    pub error: f64,
    /// The derivative by the tape.
    pub by_tape: f64,
    /// The derivative by finite differences.
    pub by_differences: f64,
    /// Which input and which of its elements; for [`along`] the number of the direction, and 0.
    pub at: (usize, usize),
}

/// Check every element of every input. Panics if walking back twice gives other bits.
#[track_caller]
pub fn gradcheck(inputs: &[Tensor], f: impl Fn(&[Var]) -> Var) -> Worst {
    let check = Check::new(inputs, f);
    let mut worst = Worst::default();
    for (which, &id) in check.ids.iter().enumerate() {
        let by_tape = check.grads.get(id).to_vec();
        for (element, &by_tape) in by_tape.iter().enumerate() {
            let by_differences = check.derivative(H, |t| {
                let mut numbers = check.params.get(id).to_vec();
                numbers[element] += t;
                let mut moved = check.params.clone();
                moved.set(id, &numbers);
                moved
            });
            worst.consider(by_tape as f64, by_differences, by_differences.abs(), (which, element));
        }
    }
    worst
}

/// Check the derivative along `directions` random directions through all inputs at once: for larger shapes.
/// Every element moves by a normal number times h. A derivative may come out near zero by chance, so its
/// error is taken relative to the length of the gradient, which is how large such derivatives are.
#[track_caller]
pub fn along(inputs: &[Tensor], directions: usize, f: impl Fn(&[Var]) -> Var) -> Worst {
    let check = Check::new(inputs, f);
    let n = check.params.flat().len();
    let size = check.grads.norm() as f64;
    let mut worst = Worst::default();
    for direction in 0..directions {
        let rng = Rng::new(direction as u64).stream("direction");
        let step: Vec<f32> = (0..n as u64).map(|i| rng.normal_at(i)).collect();
        let by_tape = inner(&check.grads.flat().to_vec(), &step);
        let by_differences = check.derivative(H_ALONG, |t| {
            let mut flat = check.params.flat().to_vec();
            flat.iter_mut().zip(&step).for_each(|(x, d)| *x += t * d);
            let mut moved = check.params.clone();
            moved.set_flat(&Tensor::new(&[n], flat));
            moved
        });
        worst.consider(by_tape, by_differences, size, (direction, 0));
    }
    worst
}

impl Worst {
    fn consider(&mut self, by_tape: f64, by_differences: f64, size: f64, at: (usize, usize)) {
        let error = (by_tape - by_differences).abs() / (1.0 + size);
        if error > self.error || error.is_nan() {
            *self = Worst { error, by_tape, by_differences, at };
        }
    }
}

/// The inputs as parameters, the array r, and the gradients by tape of Σ r·f(inputs).
struct Check<F> {
    ids: Vec<ParamId>,
    params: Params,
    projection: Vec<f32>,
    grads: Grads,
    f: F,
}

impl<F: Fn(&[Var]) -> Var> Check<F> {
    #[track_caller]
    fn new(inputs: &[Tensor], f: F) -> Check<F> {
        let mut builder = ParamsBuilder::default();
        let name = |i| format!("input {i}");
        let add = |(i, x): (usize, &Tensor)| builder.add(name(i), x.shape(), Init::Zeros, true, Rng::new(0));
        let ids: Vec<ParamId> = inputs.iter().enumerate().map(add).collect();
        let mut params = builder.build(&Device::Cpu);
        ids.iter().zip(inputs).for_each(|(id, x)| params.set(*id, &x.to_vec()));
        let params = params.to(&inputs[0].device());

        let weights = params.frozen();
        let y = f(&ids.iter().map(|id| weights[*id].clone()).collect::<Vec<_>>());
        let rng = Rng::new(7).stream("projection");
        let projection = (0..y.value().len() as u64).map(|i| rng.normal_at(i)).collect();
        let mut check = Check { grads: params.grads(), ids, params, projection, f };
        check.grads = check.walk_back();
        let again = check.walk_back();
        assert!(bits(&check.grads) == bits(&again), "walking back twice gave other bits");
        check
    }

    fn walk_back(&self) -> Grads {
        let mut grads = self.params.grads();
        self.params.backprop_from(&mut grads, |weights| {
            let y = self.apply(weights);
            let dy = Tensor::from_slice(&y.value().device(), y.shape(), &self.projection);
            (y, dy)
        });
        grads
    }

    fn apply(&self, weights: &crate::Weights) -> Var {
        (self.f)(&self.ids.iter().map(|id| weights[*id].clone()).collect::<Vec<_>>())
    }

    /// d/dt Σ r·f(inputs moved by t) at 0
    fn derivative(&self, h: f32, moved: impl Fn(f32) -> Params) -> f64 {
        let at = |t: f32| inner(&self.apply(&moved(t).frozen()).value().to_vec(), &self.projection);
        (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h as f64)
    }
}

fn inner(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum()
}

fn bits(grads: &Grads) -> Vec<u32> {
    grads.flat().to_vec().iter().map(|g| g.to_bits()).collect()
}
