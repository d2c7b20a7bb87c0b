//! Fast on the CPU: rows in parallel; the gradients of w and b are summed by pieces of fixed size, in order.
use crate::cpu::math::{add_pairs, each_pair, sum_of, sum_of_pairs, update_from};
use crate::cpu::par;
use crate::cpu::simd::per_isa;

pub fn layer_norm(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
    let c = w.len();
    par::rows(stats.len() / 2, par::grain(4 * c), [(y, c), (stats, 2)], |range, [y, stats]| {
        layer_norm_rows(&x[range.start * c..range.end * c], w, b, eps, y, stats);
    });
}

pub fn layer_norm_back(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    stats: &[f32],
    dx: &mut [f32],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let c = w.len();
    let mut sums = vec![0.0; 2 * c];
    par::rows_and_sum(stats.len() / 2, par::grain(8 * c), [(dx, c)], &mut sums, |range, [dx], sums| {
        let at = range.start * c..range.end * c;
        layer_norm_back_rows(&dy[at.clone()], &x[at], w, &stats[2 * range.start..2 * range.end], dx, sums);
    });
    dw.copy_from_slice(&sums[..c]);
    db.copy_from_slice(&sums[c..]);
}

pub fn rms_norm(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
    let c = w.len();
    par::rows(rstd.len(), par::grain(4 * c), [(y, c), (rstd, 1)], |range, [y, rstd]| {
        rms_norm_rows(&x[range.start * c..range.end * c], w, eps, y, rstd);
    });
}

pub fn rms_norm_back(dy: &[f32], x: &[f32], w: &[f32], rstd: &[f32], dx: &mut [f32], dw: &mut [f32]) {
    let c = w.len();
    par::rows_and_sum(rstd.len(), par::grain(8 * c), [(dx, c)], dw, |range, [dx], dw| {
        let at = range.start * c..range.end * c;
        rms_norm_back_rows(&dy[at.clone()], &x[at], w, &rstd[range], dx, dw);
    });
}

per_isa! {
    fn layer_norm_rows(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
        let c = w.len();
        for ((x, y), stats) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(stats.as_chunks_mut::<2>().0) {
            let mean = sum_of(x, |x| x) / c as f32;
            let variance = sum_of(x, |x| (x - mean) * (x - mean)) / c as f32;
            let rstd = 1.0 / (variance + eps).sqrt();
            each_pair(x, w, y, |x, w| (x - mean) * rstd * w);
            update_from(y, b, |y, b| y + b);
            *stats = [mean, rstd];
        }
    }

    /// In the forward pass, with n = (x − mean)·rstd: y = n·w + b. `sums` is dw, then db.
    fn layer_norm_back_rows(dy: &[f32], x: &[f32], w: &[f32], stats: &[f32], dx: &mut [f32], sums: &mut [f32]) {
        let c = w.len();
        let (dw, db) = sums.split_at_mut(c);
        let rows = dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((dy, x), dx), &[mean, rstd]) in rows.zip(stats.as_chunks::<2>().0) {
            // dx holds g = dy·w for a while
            each_pair(dy, w, dx, |dy, w| dy * w);
            let mean_g = sum_of(dx, |g| g) / c as f32;
            let mean_gn = sum_of_pairs(dx, x, |g, x| g * ((x - mean) * rstd)) / c as f32;
            update_from(dx, x, |g, x| (g - mean_g - (x - mean) * rstd * mean_gn) * rstd);
            add_pairs(dw, dy, x, |dy, x| dy * ((x - mean) * rstd));
            update_from(db, dy, |db, dy| db + dy);
        }
    }

    fn rms_norm_rows(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], rstd: &mut [f32]) {
        let c = w.len();
        for ((x, y), rstd) in x.chunks_exact(c).zip(y.chunks_exact_mut(c)).zip(rstd) {
            let r = 1.0 / (sum_of(x, |x| x * x) / c as f32 + eps).sqrt();
            each_pair(x, w, y, |x, w| x * r * w);
            *rstd = r;
        }
    }

    /// In the forward pass, with n = x·rstd: y = n·w.
    fn rms_norm_back_rows(dy: &[f32], x: &[f32], w: &[f32], rstd: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let c = w.len();
        let rows = dy.chunks_exact(c).zip(x.chunks_exact(c)).zip(dx.chunks_exact_mut(c));
        for (((dy, x), dx), &rstd) in rows.zip(rstd) {
            each_pair(dy, w, dx, |dy, w| dy * w);
            let mean_gn = sum_of_pairs(dx, x, |g, x| g * (x * rstd)) / c as f32;
            update_from(dx, x, |g, x| (g - x * rstd * mean_gn) * rstd);
            add_pairs(dw, dy, x, |dy, x| dy * (x * rstd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plain;
    use super::*;
    use crate::cpu::test::{close, noise, wide};

    const SHAPES: [(usize, usize); 5] = [(1, 1), (3, 5), (70, 64), (257, 100), (33, 768)];

    #[test]
    fn layer_norm_both_ways() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, c) in SHAPES {
                let (x, dy, w, b) = (noise(n * c, 1), noise(n * c, 2), noise(c, 3), noise(c, 4));
                let [x64, dy64, w64, b64] = [&x, &dy, &w, &b].map(|x| wide(x));
                let name = |f| format!("{isa:?} {f} {n}×{c}");
                let (mut y, mut stats) = (vec![0.0; n * c], vec![0.0; 2 * n]);
                let (mut y64, mut stats64) = (vec![0.0; n * c], vec![0.0; 2 * n]);
                layer_norm(&x, &w, &b, 1e-5, &mut y, &mut stats);
                plain::layer_norm(&x64, &w64, &b64, 1e-5, &mut y64, &mut stats64);
                close(&name("layer_norm"), &y, &y64, 1e-5);
                close(&name("stats"), &stats, &stats64, 1e-5);

                let (mut dx, mut dw, mut db) = (vec![0.0; n * c], vec![7.0; c], vec![7.0; c]);
                let (mut dx64, mut dw64, mut db64) = (vec![0.0; n * c], vec![0.0; c], vec![0.0; c]);
                layer_norm_back(&dy, &x, &w, &stats, &mut dx, &mut dw, &mut db);
                plain::layer_norm_back(&dy64, &x64, &w64, &wide(&stats), &mut dx64, &mut dw64, &mut db64);
                close(&name("dx"), &dx, &dx64, if c == 1 { 1e-3 } else { 2e-5 });
                close(&name("dw"), &dw, &dw64, 1e-4);
                close(&name("db"), &db, &db64, 1e-4);
            }
        });
    }

    #[test]
    fn rms_norm_both_ways() {
        crate::cpu::simd::each_isa(|isa| {
            for (n, c) in SHAPES {
                let (x, dy, w) = (noise(n * c, 1), noise(n * c, 2), noise(c, 3));
                let [x64, dy64, w64] = [&x, &dy, &w].map(|x| wide(x));
                let name = |f| format!("{isa:?} {f} {n}×{c}");
                let (mut y, mut rstd) = (vec![0.0; n * c], vec![0.0; n]);
                let (mut y64, mut rstd64) = (vec![0.0; n * c], vec![0.0; n]);
                rms_norm(&x, &w, 1e-5, &mut y, &mut rstd);
                plain::rms_norm(&x64, &w64, 1e-5, &mut y64, &mut rstd64);
                close(&name("rms_norm"), &y, &y64, 1e-5);
                close(&name("rstd"), &rstd, &rstd64, 1e-5);

                let (mut dx, mut dw) = (vec![0.0; n * c], vec![7.0; c]);
                let (mut dx64, mut dw64) = (vec![0.0; n * c], vec![0.0; c]);
                rms_norm_back(&dy, &x, &w, &rstd, &mut dx, &mut dw);
                plain::rms_norm_back(&dy64, &x64, &w64, &wide(&rstd), &mut dx64, &mut dw64);
                close(&name("dx"), &dx, &dx64, if c == 1 { 1e-3 } else { 2e-5 });
                close(&name("dw"), &dw, &dw64, 1e-4);
            }
        });
    }
}
