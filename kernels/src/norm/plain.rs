//! The readable loops.
use crate::Float;

/// y = (x − mean)·rstd·w + b; stats: mean and rstd of each row
pub fn layer_norm<F: Float>(x: &[F], w: &[F], b: &[F], eps: F, y: &mut [F], stats: &mut [F]) {
    let c = w.len();
    let size = F::of(c as f64);
    for ((x, y), stats) in x.chunks(c).zip(y.chunks_mut(c)).zip(stats.chunks_mut(2)) {
        let mean = x.iter().copied().sum::<F>() / size;
        let variance = x.iter().map(|&x| (x - mean) * (x - mean)).sum::<F>() / size;
        let rstd = F::of(1.0) / (variance + eps).sqrt();
        for j in 0..c {
            y[j] = (x[j] - mean) * rstd * w[j] + b[j];
        }
        stats.copy_from_slice(&[mean, rstd]);
    }
}

/// In the forward pass, with n = (x − mean)·rstd: y = n·w + b.
pub fn layer_norm_back<F: Float>(dy: &[F], x: &[F], w: &[F], stats: &[F], dx: &mut [F], dw: &mut [F], db: &mut [F]) {
    let c = w.len();
    dw.fill(F::of(0.0));
    db.fill(F::of(0.0));
    for (row, dx) in dx.chunks_mut(c).enumerate() {
        let (x, dy) = (&x[row * c..][..c], &dy[row * c..][..c]);
        let (mean, rstd) = (stats[2 * row], stats[2 * row + 1]);
        let (mut mean_g, mut mean_gn) = (F::of(0.0), F::of(0.0));
        for j in 0..c {
            let (n, g) = ((x[j] - mean) * rstd, dy[j] * w[j]);
            mean_g += g;
            mean_gn += g * n;
            dw[j] += dy[j] * n;
            db[j] += dy[j];
        }
        let size = F::of(c as f64);
        let (mean_g, mean_gn) = (mean_g / size, mean_gn / size);
        for j in 0..c {
            let n = (x[j] - mean) * rstd;
            dx[j] = (dy[j] * w[j] - mean_g - n * mean_gn) * rstd;
        }
    }
}

/// y = x·rstd·w; rstd of each row
pub fn rms_norm<F: Float>(x: &[F], w: &[F], eps: F, y: &mut [F], rstd: &mut [F]) {
    let c = w.len();
    for ((x, y), rstd) in x.chunks(c).zip(y.chunks_mut(c)).zip(rstd) {
        let mean_square = x.iter().map(|&x| x * x).sum::<F>() / F::of(c as f64);
        *rstd = F::of(1.0) / (mean_square + eps).sqrt();
        for j in 0..c {
            y[j] = x[j] * *rstd * w[j];
        }
    }
}

/// In the forward pass, with n = x·rstd: y = n·w.
pub fn rms_norm_back<F: Float>(dy: &[F], x: &[F], w: &[F], rstd: &[F], dx: &mut [F], dw: &mut [F]) {
    let c = w.len();
    dw.fill(F::of(0.0));
    for (row, dx) in dx.chunks_mut(c).enumerate() {
        let (x, dy, rstd) = (&x[row * c..][..c], &dy[row * c..][..c], rstd[row]);
        let mut mean_gn = F::of(0.0);
        for j in 0..c {
            let n = x[j] * rstd;
            mean_gn += dy[j] * w[j] * n;
            dw[j] += dy[j] * n;
        }
        let mean_gn = mean_gn / F::of(c as f64);
        for j in 0..c {
            dx[j] = (dy[j] * w[j] - x[j] * rstd * mean_gn) * rstd;
        }
    }
}
