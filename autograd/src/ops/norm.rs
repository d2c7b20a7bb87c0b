//! Normalisation of each row.
use crate::tape::{Var, record};

/// (x - mean) / √(variance + eps) · w + b.  x [N, C], w [C], b [C] → [N, C]
#[track_caller]
pub fn layer_norm(x: &Var, w: &Var, b: &Var, eps: f32) -> Var {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    let (y, stats) = kernels::layer_norm(&xv, &wv, b.value(), eps);
    record("layer_norm", [x, w, b], y, move |dy, _| kernels::layer_norm_back(&dy, &xv, &wv, &stats).map(Some))
}

/// x / √(mean of x² + eps) · w.  x [N, C], w [C] → [N, C]
#[track_caller]
pub fn rms_norm(x: &Var, w: &Var, eps: f32) -> Var {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    let (y, rstd) = kernels::rms_norm(&xv, &wv, eps);
    record("rms_norm", [x, w], y, move |dy, _| kernels::rms_norm_back(&dy, &xv, &wv, &rstd).map(Some))
}
