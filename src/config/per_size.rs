//! A setting that may differ by model size: `lr = 1e-3`, or `lr = { S = 3e-3, L = 1e-3 }`.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq)]
pub struct PerSize {
    pub all: Option<f64>,
    pub by_size: BTreeMap<String, f64>,
}

impl PerSize {
    /// The value for a size; a size that is not named is an error of the recipe, found by `check`.
    pub fn get(&self, size: &str) -> Option<f64> {
        self.by_size.get(size).copied().or(self.all)
    }
}

impl From<f64> for PerSize {
    fn from(value: f64) -> PerSize {
        PerSize { all: Some(value), by_size: BTreeMap::new() }
    }
}

impl FromStr for PerSize {
    type Err = std::num::ParseFloatError;

    fn from_str(text: &str) -> Result<PerSize, Self::Err> {
        text.parse::<f64>().map(PerSize::from)
    }
}

impl fmt::Display for PerSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.all {
            Some(value) => write!(f, "{value}"),
            None => f.debug_map().entries(&self.by_size).finish(),
        }
    }
}

impl Serialize for PerSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.all {
            Some(v) => Number(v).serialize(serializer),
            None => serializer.collect_map(self.by_size.iter().map(|(size, v)| (size, Number(*v)))),
        }
    }
}

/// Written as people write it: 500, not 500.0.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            v if v.fract() == 0.0 && v.abs() < 1e15 => serializer.serialize_i64(v as i64),
            v => serializer.serialize_f64(v),
        }
    }
}

impl<'de> Deserialize<'de> for PerSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PerSize, D::Error> {
        deserializer.deserialize_any(PerSizeVisitor)
    }
}

struct PerSizeVisitor;

impl<'de> Visitor<'de> for PerSizeVisitor {
    type Value = PerSize;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number, or one for each size such as { S = 3e-3, L = 1e-3 }")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<PerSize, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<PerSize, E> {
        Ok((value as f64).into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerSize, A::Error> {
        let mut by_size = BTreeMap::new();
        while let Some((size, value)) = map.next_entry::<String, f64>()? {
            by_size.insert(size, value);
        }
        Ok(PerSize { all: None, by_size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Section {
        lr: PerSize,
    }

    #[test]
    fn one_number_or_one_a_size() {
        let one: Section = toml::from_str("lr = 3").unwrap();
        assert_eq!(one.lr.get("S"), Some(3.0));
        let two: Section = toml::from_str("lr = { S = 1e-3, L = 5e-4 }").unwrap();
        assert_eq!((two.lr.get("S"), two.lr.get("L"), two.lr.get("M")), (Some(1e-3), Some(5e-4), None));
        let again: Section = toml::from_str(&toml::to_string(&two).unwrap()).unwrap();
        assert_eq!(again.lr, two.lr);
        assert_eq!(toml::to_string(&one).unwrap(), "lr = 3\n");
        let error = toml::from_str::<Section>("lr = 'high'").err().unwrap().to_string();
        assert!(error.contains("or one for each size"), "{error}");
    }
}
