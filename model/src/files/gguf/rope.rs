//! Scaled rotary positions as GGUF has them: by how much each pair turns slower.
use crate::net::rope::{Rope, Scaling};

impl Rope {
    /// By how much each pair turns slower than without scaling: GGUF's form of `rope_type: llama3`. [R/2]
    pub(crate) fn factors(&self) -> Vec<f32> {
        let plain = Rope::new(self.theta, self.rotary_dim).frequencies();
        plain.iter().zip(self.frequencies()).map(|(plain, scaled)| (plain / scaled) as f32).collect()
    }

    /// `rope_type: llama3` from the factors of its pairs, where they are of that form.
    pub(crate) fn from_factors(theta: f64, factors: &[f32]) -> Result<Rope, String> {
        let rope = |scaling| Rope { theta, rotary_dim: 2 * factors.len(), scaling };
        let turns = rope(Scaling::None).frequencies().into_iter().map(|f| f / std::f64::consts::TAU);
        let pairs: Vec<(f64, f64)> = turns.zip(factors.iter().map(|&f| f64::from(f))).collect();
        let factor = factors.iter().copied().fold(1.0, f32::max).into();
        // The share of the plain frequency, a line in how often the pair turns, is 0 for slow pairs and 1 for fast ones.
        let share = |f: f64| (1.0 / f - 1.0 / factor) / (1.0 - 1.0 / factor);
        let between: Vec<(f64, f64)> =
            pairs.iter().map(|&(t, f)| (t, share(f))).filter(|&(_, s)| s > 1e-6 && s < 1.0 - 1e-6).collect();
        if !factors.iter().all(|factor| factor.is_finite()) {
            return Err("its factors are not finite".into());
        }
        let scaling = |original: f64, low: f64, high: f64| rope(Scaling::Llama3 { factor, low, high, original });
        let mut tries = vec![rope(Scaling::None), rope(Scaling::Linear { factor })];
        if let (Some(&(t, s)), Some(&(u, v))) = (between.first(), between.last()) {
            tries.push(scaling(((1.0 + 3.0 * s) / t).round(), 1.0, 4.0)); // as all of Meta's are
            let slope = if between.len() > 1 { (s - v) / (t - u) } else { (s + 1.0 / 3.0) / t };
            let (low, wide) = (8192.0 * (t - s / slope), 8192.0 / slope);
            tries.push(scaling(8192.0, low, low + wide));
        }
        let slow = pairs.iter().find(|&&(_, f)| share(f) <= 1e-6).map(|pair| pair.0);
        let fast = pairs.iter().rfind(|&&(_, f)| share(f) >= 1.0 - 1e-6).map(|pair| pair.0);
        if let (Some(slow), Some(fast)) = (slow, fast) {
            tries.push(scaling(8192.0, 8192.0 * slow, 8192.0 * fast));
        }
        let close = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs();
        let same = |rope: &Rope| rope.factors().iter().zip(factors).all(|(&a, &b)| close(a, b));
        tries.into_iter().find(same).ok_or_else(|| "its factors are not those of rope_type llama3".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factors of Llama 3.1 and 3.2, and of models whose scaling is told in other numbers.
    #[test]
    fn scaling_comes_back_from_its_factors() {
        for (theta, rotary_dim, factor, low, high, original) in [
            (5e5, 128, 8.0, 1.0, 4.0, 8192.0),
            (5e5, 64, 32.0, 1.0, 4.0, 8192.0),
            (5e5, 8, 4.0, 1.0, 4.0, 16.0),
            (1e4, 64, 16.0, 2.0, 5.0, 4096.0),
            (1e4, 4, 8.0, 1.0, 4.0, 64.0),
            (1e4, 4, 8.0, 2.0, 9.0, 64.0),
        ] {
            let rope =
                Rope { scaling: Scaling::Llama3 { factor, low, high, original }, ..Rope::new(theta, rotary_dim) };
            let found = Rope::from_factors(theta, &rope.factors()).unwrap();
            for (a, b) in found.factors().iter().zip(rope.factors()) {
                assert!((a - b).abs() <= 1e-5 * b, "{a} is not {b}: {found:?}");
            }
            assert!(low != 1.0 || rotary_dim < 8 || found == rope, "{found:?}");
        }
        assert_eq!(Rope::from_factors(1e4, &[1.0; 4]).unwrap().scaling, Scaling::None);
        assert_eq!(Rope::from_factors(1e4, &[4.0; 4]).unwrap().scaling, Scaling::Linear { factor: 4.0 });
        for odd in [[1.0, 2.0, 1.0, 8.0], [8.0, 4.0, 2.0, 1.0], [f32::NAN; 4], [0.0; 4], [-1.0; 4], [f32::INFINITY; 4]]
        {
            assert!(Rope::from_factors(1e4, &odd).is_err(), "{odd:?}");
        }
    }
}
