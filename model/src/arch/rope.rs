//! Rotary positions under the keys of config.json.
use super::keys::Keys;
use crate::net::rope::{Rope, Scaling};
use serde_json::{Value, json};

/// Its frequencies are computed before the weights are looked at.
const LARGEST_HEAD: usize = 1 << 16;

impl Rope {
    /// transformers 5: `rope_parameters: {rope_type, rope_theta, …}`; 4: `rope_theta` and maybe `rope_scaling`; of
    /// GPT-NeoX `rotary_emb_base` and `rotary_pct`. A file may have several of these; they must say the same.
    pub(super) fn read(keys: &Keys, head: usize, context: usize, partial: bool) -> Result<Rope, String> {
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

    /// `rope_parameters` of transformers 5.
    pub(super) fn parameters(&self) -> Value {
        let mut json = match self.scaling {
            Scaling::None => json!({"rope_type": "default"}),
            scaling => scaling.write(),
        };
        json["rope_theta"] = self.theta.into();
        json
    }
}

impl Scaling {
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
