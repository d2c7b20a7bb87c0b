//! Log-probability of chosen ids under a softmax, its gradient, and the entropy.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

pub(crate) use cpu::log_sum_exp;

use crate::tensor::same_device;
use crate::{Device, Ids, Tensor, cpu::pool, shapes};

#[track_caller]
fn check(logits: &Tensor, ids: &Ids) -> [usize; 2] {
    shapes!("logprob takes logits [N, V], ids [N]", logits [n, v], ids [count] if n == count);
    if let Some(&id) = ids.host().iter().max() {
        assert!((id as usize) < v, "logprob: id {id} of a vocabulary of {v}");
    }
    [n, v]
}

/// Log-probabilities of chosen ids: log softmax(logits)[n, ids[n]], in nats.
/// logits [N, V], ids [N] → log-probabilities [N], log-sum-exp of each row [N]
#[track_caller]
pub fn logprob(logits: &Tensor, ids: &Ids) -> (Tensor, Tensor) {
    let [n, v] = check(logits, ids);
    match logits.device() {
        Device::Cpu => {
            let (mut lp, mut lse) = (pool::take(n), pool::take(n));
            cpu::logprob(logits.data(), v, ids.host(), &mut lp, &mut lse);
            (Tensor::new(&[n], lp), Tensor::new(&[n], lse))
        }
        Device::Gpu(g) => gpu::logprob(&g, logits, ids),
    }
}

/// The gradient of [`logprob`] by the logits, written over them where nobody else holds them.
/// d [N], logits [N, V], lse [N] → [N, V]
#[track_caller]
pub fn logprob_back(d: &Tensor, mut logits: Tensor, ids: &Ids, lse: &Tensor) -> Tensor {
    let [n, v] = check(&logits, ids);
    shapes!("logprob_back takes d [N], lse [N], logits [N, V]", d [a], lse [b], logits [..] if a == n && b == n);
    match same_device(&[d, &logits, lse]) {
        Device::Cpu => {
            cpu::logprob_back(d.data(), logits.data_mut(), v, ids.host(), lse.data());
            logits
        }
        Device::Gpu(g) => {
            logits.unshare();
            gpu::logprob_back(&g, d, logits, ids, lse)
        }
    }
}

/// Entropy of softmax(logits) in nats.  logits [N, V], lse [N] → [N]
#[track_caller]
pub fn entropy(logits: &Tensor, lse: &Tensor) -> Tensor {
    shapes!("entropy takes logits [N, V], lse [N]", logits [n, v], lse [count] if n == count);
    match same_device(&[logits, lse]) {
        Device::Cpu => {
            let mut h = pool::take(n);
            cpu::entropy(logits.data(), v, lse.data(), &mut h);
            Tensor::new(&[n], h)
        }
        Device::Gpu(g) => gpu::entropy(&g, logits, lse),
    }
}
