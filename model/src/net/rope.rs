//! Rotary positions (Su et al. 2021): how fast each pair of a head's numbers turns.
use crate::arch::keys::Keys;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope {
    /// Pair i of R/2 turns by θ^(-2i/R) a position.
    pub theta: f64,
    /// R: how many numbers of a head turn; the others stay.
    pub rotary_dim: usize,
    pub scaling: Scaling,
}

/// How a model that was trained on short texts is stretched to long ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    None,
    /// All slower by this factor (Chen et al. 2023).
    Linear {
        factor: f64,
    },
    /// Slow pairs slower by `factor`, fast ones as they are, those between in between (Llama 3.1). Slow is what turns
    /// fewer than `low` times in `original` positions, fast what turns more than `high` times.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original: f64,
    },
}

/// Its frequencies are computed before the weights are looked at.
const LARGEST_HEAD: usize = 1 << 16;

impl Rope {
    pub fn new(theta: f64, rotary_dim: usize) -> Rope {
        Rope { theta, rotary_dim, scaling: Scaling::None }
    }

    /// Radians a position, for each pair. [R/2]
    pub fn frequencies(&self) -> Vec<f64> {
        let plain = |i: usize| self.theta.powf(-2.0 * i as f64 / self.rotary_dim as f64);
        (0..self.rotary_dim / 2).map(|i| self.scaling.of(plain(i))).collect()
    }

    /// transformers 5: `rope_parameters: {rope_type, rope_theta, …}`; 4: `rope_theta` and maybe `rope_scaling`; of
    /// GPT-NeoX `rotary_emb_base` and `rotary_pct`. A file may have several of these; they must say the same.
    pub(crate) fn read(keys: &Keys, head: usize, context: usize, partial: bool) -> Result<Rope, String> {
        let (mut thetas, mut shares, mut scalings) = (Vec::new(), Vec::new(), Vec::new());
        thetas.extend(keys.number("rope_theta")?);
        shares.extend(keys.number("partial_rotary_factor")?);
        if partial {
            thetas.extend(keys.number("rotary_emb_base")?);
            shares.extend(keys.number("rotary_pct")?);
        }
        for name in ["rope_parameters", "rope_scaling"] {
            let Some(inner) = keys.object(name)? else { continue };
            let mut read = || {
                thetas.extend(inner.number("rope_theta")?);
                shares.extend(inner.number("partial_rotary_factor")?);
                scalings.push(Scaling::read(&inner, context)?);
                inner.refuse_unread(&[])
            };
            read().map_err(|e: String| format!("`{name}`: {e}"))?;
        }
        let theta = agreed("rope_theta", &thetas)?.unwrap_or(10_000.0);
        let share = agreed("partial_rotary_factor", &shares)?.unwrap_or(if partial { 0.25 } else { 1.0 });
        let scaling = agreed("rope_scaling", &scalings)?.unwrap_or(Scaling::None);
        if !partial && share != 1.0 {
            return Err("`partial_rotary_factor` other than 1 is not supported here".into());
        }
        if head > LARGEST_HEAD {
            return Err(format!("a head of {head} numbers is no size of a model"));
        }
        let rotary_dim = (head as f64 * share) as usize;
        if !rotary_dim.is_multiple_of(2) || !(2..=head).contains(&rotary_dim) {
            return Err(format!("rotary positions turn pairs: {rotary_dim} of a head's {head} numbers do not work"));
        }
        let rope = Rope { theta, rotary_dim, scaling };
        match theta > 0.0 && rope.frequencies().iter().all(|turn| turn.is_finite()) {
            true => Ok(rope),
            false => Err(format!("`rope_theta`: expected a positive number, got {theta}")),
        }
    }

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

    /// `rope_parameters` of transformers 5.
    pub(crate) fn parameters(&self) -> Value {
        let mut json = match self.scaling {
            Scaling::None => json!({"rope_type": "default"}),
            scaling => scaling.write(),
        };
        json["rope_theta"] = self.theta.into();
        json
    }
}

impl Scaling {
    fn of(self, frequency: f64) -> f64 {
        match self {
            Scaling::None => frequency,
            Scaling::Linear { factor } => frequency / factor,
            Scaling::Llama3 { factor, low, high, original } => {
                let turns = original * frequency / std::f64::consts::TAU;
                let fast = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - fast) * frequency / factor + fast * frequency
            }
        }
    }

    fn read(keys: &Keys, context: usize) -> Result<Scaling, String> {
        let kinds: Vec<_> = ["rope_type", "type"].into_iter().filter_map(|key| keys.get(key)).collect();
        let kind = agreed("rope_type", &kinds)?.map_or(Some("default"), Value::as_str);
        let positive = |key: &str| match keys.number(key)? {
            Some(x) if x > 0.0 && x.is_finite() => Ok(x),
            other => Err(format!("`{key}`: expected a positive number, got {other:?}")),
        };
        match kind {
            Some("default") => Ok(Scaling::None),
            Some("linear") => Ok(Scaling::Linear { factor: positive("factor")? }),
            Some("llama3") => {
                let (low, high) = (positive("low_freq_factor")?, positive("high_freq_factor")?);
                let original = keys.size("original_max_position_embeddings", Some(context))? as f64;
                match low < high {
                    true => Ok(Scaling::Llama3 { factor: positive("factor")?, low, high, original }),
                    false => Err(format!("`low_freq_factor` {low} is not below `high_freq_factor` {high}")),
                }
            }
            _ => Err(format!("`rope_type: {}` is not supported; known: default, linear, llama3", kinds[0])),
        }
    }

    /// `rope_scaling` of transformers 4.
    pub(crate) fn write(self) -> Value {
        match self {
            Scaling::None => Value::Null,
            Scaling::Linear { factor } => json!({"rope_type": "linear", "factor": factor}),
            Scaling::Llama3 { factor, low, high, original } => json!({
                "rope_type": "llama3", "factor": factor, "low_freq_factor": low, "high_freq_factor": high,
                "original_max_position_embeddings": original as u64,
            }),
        }
    }
}

/// What all of them say, if there are any.
fn agreed<T: PartialEq + Copy + std::fmt::Debug>(key: &str, values: &[T]) -> Result<Option<T>, String> {
    match values.iter().find(|value| **value != values[0]) {
        Some(other) => Err(format!("`{key}` is given twice, as {:?} and as {other:?}", values[0])),
        None => Ok(values.first().copied()),
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
