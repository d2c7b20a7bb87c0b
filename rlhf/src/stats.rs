//! The statistics that training and evaluation quote: intervals, the bootstrap, KL estimators.
//! Plain functions on slices, in f64; nothing here knows of a model.

use kernels::Rng;

/// A rate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// the estimate
    pub rate: f64,
    /// lower end
    pub low: f64,
    /// upper end
    pub high: f64,
    /// how many observations it rests on
    pub n: usize,
}

const Z95: f64 = 1.959963984540054;

impl Interval {
    /// Wilson's score interval for `hits` successes in `n` trials. `hits` may be a half (a tie counts ½).
    /// Unlike rate ± 1.96 s it stays inside [0, 1] and is honest for small n. E. B. Wilson, JASA 22 (1927).
    pub fn wilson(hits: f64, n: usize) -> Interval {
        Interval::score(hits / n as f64, n as f64, n)
    }

    /// As [`Interval::wilson`] for trials that hang together in clusters, each (its hits, its trials): comparisons of
    /// completions to one prompt. The trials count as many as independent ones of the same variance would be, which is
    /// the ratio estimator's, Σ (hits − rate·trials)² / trials² over the clusters (Kish, Survey Sampling, 1965, chapter 6).
    pub fn clustered(clusters: &[(f64, usize)]) -> Interval {
        let n: usize = clusters.iter().map(|(_, trials)| trials).sum();
        let filled = clusters.iter().filter(|(_, trials)| *trials > 0).count() as f64;
        let rate = clusters.iter().map(|(hits, _)| hits).sum::<f64>() / n as f64;
        let residual = |&(hits, trials): &(f64, usize)| (hits - rate * trials as f64).powi(2);
        let spread: f64 = clusters.iter().map(residual).sum::<f64>() * filled / (filled - 1.0);
        Interval::score(rate, (rate * (1.0 - rate) * (n as f64).powi(2) / spread).min(n as f64), n)
    }

    /// Wilson's interval round `rate` as seen in so many independent trials.
    fn score(rate: f64, trials: f64, n: usize) -> Interval {
        if n == 0 {
            return Interval { rate: f64::NAN, low: 0.0, high: 1.0, n };
        }
        let z2 = Z95 * Z95;
        let center = (rate + z2 / (2.0 * trials)) / (1.0 + z2 / trials);
        let spread = rate * (1.0 - rate) / trials + z2 / (4.0 * trials * trials);
        let half = Z95 / (1.0 + z2 / trials) * spread.max(0.0).sqrt();
        Interval { rate, low: (center - half).max(0.0), high: (center + half).min(1.0), n }
    }
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:.3} [{:.3}, {:.3}] (n={})", self.rate, self.low, self.high, self.n)
    }
}

/// Percentile bootstrap of the mean, 95 %. Give it differences of paired observations (two models on the same prompt)
/// and it is the paired bootstrap; give it one mean per prompt and it respects that those of one
/// prompt hang together.
pub fn bootstrap(values: &[f64], resamples: usize, rng: Rng) -> Interval {
    let n = values.len();
    if n == 0 {
        return Interval { rate: f64::NAN, low: f64::NAN, high: f64::NAN, n: 0 };
    }
    let mut means: Vec<f64> = (0..resamples as u64)
        .map(|resample| {
            let mut draws = rng.fold(resample).draws();
            (0..n).map(|_| values[draws.below(n)]).sum::<f64>() / n as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    Interval { rate: mean(values), low: quantile(&means, 0.025), high: quantile(&means, 0.975), n }
}

/// The q-quantile of sorted values, linear between neighbours; NaN when there are none.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    if sorted.is_empty() {
        return f64::NAN;
    }
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Σ x / n.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Σ(x − mean)² / n.
pub fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / x.len() as f64
}

/// 1 − Var(target − guess) / Var(target): 1 is a perfect critic, 0 one that knows only the mean.
pub fn explained_variance(guess: &[f64], target: &[f64]) -> f64 {
    let residual: Vec<f64> = target.iter().zip(guess).map(|(t, g)| t - g).collect();
    let total = variance(target);
    if total == 0.0 { 0.0 } else { 1.0 - variance(&residual) / total }
}

// ---- Kullback-Leibler divergence from samples: ℓ = log π(x) − log π_ref(x), x drawn from π (Schulman 2020) --------

/// ℓ: unbiased, high variance; single samples, and small batches, may well be negative.
pub fn k1(log_ratio: f64) -> f64 {
    log_ratio
}

/// ½ℓ²: biased, low variance, never negative.
pub fn k2(log_ratio: f64) -> f64 {
    0.5 * log_ratio * log_ratio
}

/// e^{−ℓ} − 1 + ℓ: unbiased and never negative, but explodes where ℓ ≪ 0.
pub fn k3(log_ratio: f64) -> f64 {
    (-log_ratio).exp_m1() + log_ratio
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }

    #[test]
    fn wilson_matches_known_intervals() {
        let half = Interval::wilson(50.0, 100);
        close(half.low, 0.4038, 1e-4);
        close(half.high, 0.5962, 1e-4);
        let none = Interval::wilson(0.0, 10); // rate ± 1.96 s would claim certainty here
        close(none.low, 0.0, 1e-12);
        close(none.high, 0.2775, 1e-4);
    }

    #[test]
    fn clusters_widen_an_interval() {
        let (alone, n) = (Interval::wilson(50.0, 100), 100);
        let close_to = |i: Interval, j: Interval| {
            close(i.low, j.low, 1e-2);
            close(i.high, j.high, 1e-2);
            assert_eq!(i.n, n);
        };
        let single: Vec<_> = (0..100).map(|i| ((i % 2) as f64, 1)).collect();
        close_to(Interval::clustered(&single), alone);
        let fours: Vec<_> = (0..25).map(|i| ((i % 2) as f64 * 4.0, 4)).collect(); // all four alike: as 25 trials
        close_to(Interval::clustered(&fours), Interval { n, ..Interval::wilson(12.0, 25) });
        assert!(Interval::clustered(&[]).rate.is_nan());
        assert_eq!(Interval::clustered(&[(3.0, 3), (2.0, 2)]), Interval::wilson(5.0, 5));
    }

    #[test]
    fn bootstrap_of_a_constant_is_that_constant_and_covers_the_mean() {
        let constant = bootstrap(&[2.0; 9], 50, Rng::new(1));
        assert_eq!((constant.low, constant.high), (2.0, 2.0));
        let spread: Vec<f64> = (0..400).map(|i| (i % 7) as f64).collect();
        let b = bootstrap(&spread, 500, Rng::new(2));
        assert!(b.low < b.rate && b.rate < b.high);
        close(b.high - b.low, 2.0 * Z95 * 2.0 / 20.0, 0.06);
    }

    /// Two distributions over three tokens whose divergence is known: ½ ln 2 + ¼ ln ½ + ¼ ln 1.
    #[test]
    fn kl_estimators_agree_with_the_exact_sum() {
        let (p, q) = ([0.5f64, 0.25, 0.25], [0.25f64, 0.5, 0.25]);
        let expect = |k: fn(f64) -> f64| p.iter().zip(&q).map(|(p, q)| p * k(p.ln() - q.ln())).sum::<f64>();
        close(expect(k1), 0.25 * 2f64.ln(), 1e-12);
        close(expect(k3), 0.25 * 2f64.ln(), 1e-12);
        assert!(p.iter().zip(&q).all(|(p, q)| k3(p.ln() - q.ln()) >= 0.0 && k2(p.ln() - q.ln()) >= 0.0));
    }
}
