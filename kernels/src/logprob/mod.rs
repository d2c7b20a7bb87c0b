//! Log-probability of chosen ids under a softmax, its gradient, and the entropy.
mod cpu;
pub(crate) mod gpu;
pub mod plain;

pub(crate) use cpu::log_sum_exp;

use crate::tensor::same_device;
use crate::{Device, Ids, Tensor, cpu::pool};

#[track_caller]
fn check(logits: &Tensor, ids: &Ids) -> [usize; 2] {
    let [n, v] = logits.dims();
    assert_eq!(n, ids.len(), "logprob: logits {:?} for {} ids", logits.shape(), ids.len());
    if let Some(&id) = ids.host().iter().max() {
        assert!((id as usize) < v, "logprob: id {id} of {v}");
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
    assert!(d.len() == n && lse.len() == n, "logprob_back: d {:?}, lse {:?}, {n} rows", d.shape(), lse.shape());
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
    let [n, v] = logits.dims();
    assert_eq!(lse.len(), n, "entropy: lse {:?} of logits {:?}", lse.shape(), logits.shape());
    match same_device(&[logits, lse]) {
        Device::Cpu => {
            let mut h = pool::take(n);
            cpu::entropy(logits.data(), v, lse.data(), &mut h);
            Tensor::new(&[n], h)
        }
        Device::Gpu(g) => gpu::entropy(&g, logits, lse),
    }
}
