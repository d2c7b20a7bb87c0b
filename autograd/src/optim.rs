//! AdamW (Loshchilov and Hutter 2019) as torch.optim.AdamW computes it: decay is p -= lr·λ·p, not part of
//! the gradient; the step is m̂ / (√v̂ + ε). (TF's Adam, used by OpenAI's published code, puts ε elsewhere.)
use crate::grads::Grads;
use crate::params::Params;
use kernels::{AdamWStep, Tensor};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// How much of the mean of gradients a step keeps.
    pub beta1: f32,
    /// How much of the mean of their squares a step keeps.
    pub beta2: f32,
    /// ε, added to √v̂.
    pub eps: f32,
    /// Pulls on the parameters that were added with `decay`, and on no others.
    pub weight_decay: f32,
}

impl Default for AdamWConfig {
    fn default() -> AdamWConfig {
        AdamWConfig { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The gradient was not finite; neither parameters nor moments were touched.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the gradient is not finite: {elements} of its elements are NaN or infinite, its norm is {norm}")]
pub struct NonFinite {
    /// How many of its elements are NaN or infinite.
    pub elements: u64,
    /// Its norm, which may have overflowed.
    pub norm: f32,
}

/// The optimizer: moments laid out as the parameters, and how many steps were taken, which is all there is to save and
/// restore.
#[derive(Clone)]
pub struct AdamW {
    /// The constants.
    pub config: AdamWConfig,
    /// The mean of gradients, laid out as the parameters.
    pub m: Tensor,
    /// The mean of their squares.
    pub v: Tensor,
    /// Steps taken.
    pub step: u64,
}

impl AdamW {
    /// Zero moments for these parameters.
    pub fn new(config: AdamWConfig, params: &Params) -> AdamW {
        let zeros = || Tensor::zeros(&params.device(), params.flat().shape());
        AdamW { config, m: zeros(), v: zeros(), step: 0 }
    }

    /// Go on from saved moments. They are moved to the device of `params`.
    ///
    /// # Panics
    /// If they are of another model.
    #[track_caller]
    pub fn restore(config: AdamWConfig, params: &Params, m: &Tensor, v: &Tensor, step: u64) -> AdamW {
        assert_eq!(m.shape(), params.flat().shape(), "restore: m (left) is of another model");
        assert_eq!(v.shape(), params.flat().shape(), "restore: v (left) is of another model");
        let device = params.device();
        AdamW { config, m: m.to(&device), v: v.to(&device), step }
    }

    /// One step against the gradient, shortened to norm `clip` first if it is longer.
    /// Returns the norm before clipping. Waits for the device once.
    ///
    /// # Errors
    /// If the gradient is not finite: nothing was changed.
    #[track_caller]
    pub fn step(&mut self, params: &mut Params, grads: &Grads, lr: f32, clip: Option<f32>) -> Result<f32, NonFinite> {
        self.step_and_read(params, grads, lr, clip, &[]).0
    }

    /// As `step`, and the numbers of `also` (losses), read back in the same wait.
    #[track_caller]
    pub fn step_and_read(
        &mut self,
        params: &mut Params,
        grads: &Grads,
        lr: f32,
        clip: Option<f32>,
        also: &[&Tensor],
    ) -> (Result<f32, NonFinite>, Vec<Vec<f32>>) {
        let (norm, read) = finite_norm(grads, also);
        if let Ok(norm) = norm {
            self.descend(params, grads, lr, clip, norm);
        }
        (norm, read)
    }

    fn descend(&mut self, params: &mut Params, grads: &Grads, lr: f32, clip: Option<f32>, norm: f32) {
        self.step += 1;
        let AdamWConfig { beta1, beta2, eps, weight_decay } = self.config;
        let correction = |beta: f32| (1.0 - (beta as f64).powf(self.step as f64)) as f32;
        let step = AdamWStep {
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            decayed: params.decayed(),
            correction1: correction(beta1),
            correction2: correction(beta2),
            grad_scale: clip.map_or(1.0, |clip| (clip / (norm + 1e-6)).min(1.0)), // as clip_grad_norm_
        };
        kernels::adamw(params.flat_mut(), grads.flat(), &mut self.m, &mut self.v, &step);
    }
}

/// The norm of the gradients, and the numbers of `also`. Counted by their bits: a NaN test written with
/// comparisons may be compiled away on a GPU.
fn finite_norm(grads: &Grads, also: &[&Tensor]) -> (Result<f32, NonFinite>, Vec<Vec<f32>>) {
    let (squares, bad) = (kernels::sum_squares(grads.flat()), kernels::count_non_finite(grads.flat()));
    let mut read = kernels::read_all(&[&[&squares, &bad], also].concat());
    let also = read.split_off(2);
    let (norm, elements) = (read[0][0].sqrt(), read[1][0] as u64);
    let finite = elements == 0 && norm.is_finite();
    (if finite { Ok(norm) } else { Err(NonFinite { elements, norm }) }, also)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamsBuilder};
    use kernels::{Device, Rng};

    /// One decayed and one other parameter, both `p0`.
    fn two(p0: f32) -> Params {
        let mut builder = ParamsBuilder::default();
        let a = builder.add("matrix", &[1, 1], Init::Zeros, true, Rng::new(0));
        let b = builder.add("gain", &[1], Init::Zeros, false, Rng::new(0));
        let mut params = builder.build(&Device::Cpu);
        params.set(a, &[p0]);
        params.set(b, &[p0]);
        params
    }

    /// A step at lr 1e-3 against these gradients.
    fn step(adamw: &mut AdamW, params: &mut Params, gradients: [f32; 2], clip: Option<f32>) -> Result<f32, NonFinite> {
        let mut grads = params.grads();
        for ((id, ..), g) in params.iter().zip(gradients) {
            grads.add(id, &Tensor::new(params.shape(id), vec![g]));
        }
        adamw.step(params, &grads, 1e-3, clip)
    }

    fn numbers(params: &Params) -> [f32; 2] {
        [0, 1].map(|i| params.get(params.iter().nth(i).unwrap().0).item())
    }

    /// Two steps computed with torch 2.15: lr 1e-3, betas .9 and .95, eps 1e-5, gradients 1e-3 and -2e-3.
    #[test]
    fn two_steps_as_in_torch() {
        let mut params = two(0.5);
        let mut adamw = AdamW::new(AdamWConfig { eps: 1e-5, ..AdamWConfig::default() }, &params);
        for g in [1e-3, -2e-3] {
            step(&mut adamw, &mut params, [g; 2], None).unwrap();
        }
        for p in numbers(&params) {
            assert!((p - 0.49937101).abs() < 6e-8, "{p}");
        }
    }

    /// p -= lr·λ·p, on the decayed parameter only; with a zero gradient nothing else happens.
    #[test]
    fn decay_is_decoupled_and_for_matrices_only() {
        let mut params = two(2.0);
        let mut adamw = AdamW::new(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() }, &params);
        let grads = params.grads();
        adamw.step(&mut params, &grads, 0.5, Some(1.0)).unwrap();
        assert_eq!(numbers(&params), [2.0 - 0.5 * 0.1 * 2.0, 2.0]);
    }

    /// The norm that is returned is the one before clipping; m shows what was used.
    #[test]
    fn clipping_shortens_to_the_norm() {
        let mut params = two(0.0);
        let mut adamw = AdamW::new(AdamWConfig::default(), &params);
        let norm = step(&mut adamw, &mut params, [3.0, 4.0], Some(1.0)).unwrap();
        assert!((norm - 5.0).abs() < 1e-6, "{norm}");
        let used: Vec<f32> = adamw.m.to_vec().iter().filter(|m| **m != 0.0).map(|m| m / 0.1).collect();
        assert!((used[0] - 0.6).abs() < 1e-5 && (used[1] - 0.8).abs() < 1e-5, "{used:?}");
        let mut free = AdamW::new(AdamWConfig::default(), &params);
        step(&mut free, &mut params, [0.3, 0.4], Some(1.0)).unwrap();
        assert!(free.m.to_vec().iter().any(|m| (m - 0.03).abs() < 1e-7), "a short gradient is left alone");
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut params = two(0.5);
            let mut adamw = AdamW::new(AdamWConfig::default(), &params);
            step(&mut adamw, &mut params, [1.0, 2.0], None).unwrap();
            let before = (params.flat().to_vec(), adamw.m.to_vec(), adamw.v.to_vec(), adamw.step);
            let error = step(&mut adamw, &mut params, [1.0, bad], Some(1.0)).unwrap_err();
            assert_eq!(error.elements, 1);
            assert_eq!(before, (params.flat().to_vec(), adamw.m.to_vec(), adamw.v.to_vec(), adamw.step));
        }
        let mut params = two(0.5);
        let mut adamw = AdamW::new(AdamWConfig::default(), &params);
        let error = step(&mut adamw, &mut params, [1e30, 1.0], Some(1.0)).unwrap_err();
        assert_eq!((error.elements, error.norm), (0, f32::INFINITY), "finite numbers whose norm overflows");
        assert_eq!(numbers(&params), [0.5; 2]);
    }

    /// Saved and restored half way, the second half gives the same bits.
    #[test]
    fn restored_goes_on_as_if_nothing_happened() {
        let config = AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() };
        let mut params = two(0.5);
        let mut adamw = AdamW::new(config, &params);
        let go = |params: &mut Params, adamw: &mut AdamW, steps: std::ops::Range<u32>| {
            for i in steps {
                step(adamw, params, [i as f32 - 2.0, 0.1 * i as f32], Some(1.0)).unwrap();
            }
        };
        go(&mut params, &mut adamw, 0..5);
        let mut again = params.clone();
        let mut restored = AdamW::restore(config, &again, &adamw.m, &adamw.v, adamw.step);
        go(&mut params, &mut adamw, 5..10);
        go(&mut again, &mut restored, 5..10);
        assert_eq!(params.flat().to_vec(), again.flat().to_vec());
        assert_eq!((adamw.m.to_vec(), adamw.v.to_vec()), (restored.m.to_vec(), restored.v.to_vec()));
    }

    /// The reference keeps its numbers when the policy, cloned from it, steps; and the step copies once.
    #[test]
    fn a_clone_does_not_move() {
        let mut params = two(0.5);
        let reference = params.clone();
        let mut adamw = AdamW::new(AdamWConfig::default(), &params);
        step(&mut adamw, &mut params, [1.0, 1.0], None).unwrap();
        assert_eq!(numbers(&reference), [0.5; 2]);
        assert!(numbers(&params)[0] < 0.5);
        let at = params.flat().data().as_ptr();
        step(&mut adamw, &mut params, [1.0, 1.0], None).unwrap();
        assert_eq!(at, params.flat().data().as_ptr(), "in place, once nobody shares the buffer");
    }
}
