//! Normalisation of each row.
use crate::tape::{Var, record};
use kernels::{Heads, Tensor, shapes};
use std::ops::Range;

/// Layer norm: (x - mean) / √(variance + eps) · w + b.  x [N, C], w [C], b [C] → [N, C]
///
/// # Panics
/// If w or b is not of C numbers.
#[track_caller]
pub fn layer_norm(x: &Var, w: &Var, b: &Var, eps: f32) -> Var {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    let (y, stats) = kernels::layer_norm(&xv, &wv, b.value(), eps);
    let (xa, wa, ba) = (xv.clone(), wv.clone(), b.value().clone());
    record("layer_norm", [x, w, b], y, move |dy, _| kernels::layer_norm_back(&dy, &xv, &wv, &stats).map(Some))
        .recomputed_by(move || kernels::layer_norm(&xa, &wa, &ba, eps).0)
}

/// RMS norm: x / √(mean of x² + eps) · w.  x [N, C], w [C] → [N, C]
///
/// # Panics
/// If w is not of C numbers.
#[track_caller]
pub fn rms_norm(x: &Var, w: &Var, eps: f32) -> Var {
    let (xv, wv) = (x.value().clone(), w.value().clone());
    let (y, rstd) = kernels::rms_norm(&xv, &wv, eps);
    let (xa, wa) = (xv.clone(), wv.clone());
    record("rms_norm", [x, w], y, move |dy, _| kernels::rms_norm_back(&dy, &xv, &wv, &rstd).map(Some))
        .recomputed_by(move || kernels::rms_norm(&xa, &wa, eps).0)
}

/// QK norm: RMS norm of each query head and of each key head; values stay (Dehghani et al. 2023, section 2.2).
/// qkv [N, (H + 2G)·D], gains of queries and keys [D] each → as qkv
///
/// # Panics
/// If qkv is of other heads, or a gain is not of D numbers.
#[track_caller]
pub fn qk_norm(qkv: &Var, q_gain: &Var, k_gain: &Var, heads: Heads, eps: f32) -> Var {
    let (d, columns) = (heads.dim, heads.qkv());
    let takes = || format!("qk_norm of {heads:?} takes qkv [N, {columns}], q_gain [{d}], k_gain [{d}]");
    shapes!(takes(), qkv [n, c], q_gain [q], k_gain [k] if c == columns && [q, k] == [d; 2]);
    let parts = [0..heads.q * d, heads.q * d..(heads.q + heads.kv) * d];
    let cut = move |x: &Tensor, part: &Range<usize>| {
        kernels::slice_columns(x, part.clone()).reshape(&[n * part.len() / d, d])
    };
    let put = move |y: &mut Tensor, part: &Range<usize>, x: &Tensor| {
        kernels::set_columns(y, part.start, &x.reshape(&[n, part.len()]));
    };
    let mut y = qkv.value().clone();
    let saved = [(&parts[0], q_gain), (&parts[1], k_gain)].map(|(part, gain)| {
        let (x, gain) = (cut(qkv.value(), part), gain.value().clone());
        let (normed, rstd) = kernels::rms_norm(&x, &gain, eps);
        put(&mut y, part, &normed);
        (part.clone(), x, gain, rstd)
    });
    record("qk_norm", [qkv, q_gain, k_gain], y, move |dy, _| {
        let mut dqkv = dy.clone();
        let [dq_gain, dk_gain] = saved.map(|(part, x, gain, rstd)| {
            let [dx, d_gain] = kernels::rms_norm_back(&cut(&dy, &part), &x, &gain, &rstd);
            put(&mut dqkv, &part, &dx);
            d_gain
        });
        [Some(dqkv), Some(dq_gain), Some(dk_gain)]
    })
}
