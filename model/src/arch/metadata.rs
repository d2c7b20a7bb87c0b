//! GGUF's metadata: keys and what they say, and those below an architecture's name.
use super::common::decimal;
use std::collections::BTreeMap;

/// What a key says. All widths of integers are one kind here, and so are those of floats.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Also a token id.
    Integer(i64),
    /// Also of f32.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// UTF-8.
    Text(String),
    /// A list, of flags too.
    Integers(Vec<i64>),
    /// A list.
    Floats(Vec<f32>),
    /// A list, such as that of all tokens.
    Texts(Vec<String>),
}

/// Values by their keys.
pub type Metadata = BTreeMap<String, Value>;

/// Reads keys below the name of an architecture, with errors that name them.
pub(crate) struct Reader<'a> {
    pub arch: &'static str,
    pub metadata: &'a Metadata,
    /// Is there a tensor that GGUF calls so?
    pub has: &'a dyn Fn(&str) -> bool,
}

impl Reader<'_> {
    fn get(&self, key: &str) -> (String, Option<&Value>) {
        let key = format!("{}.{key}", self.arch);
        let value = self.metadata.get(&key);
        (key, value)
    }

    /// A whole number under a key that need not be there.
    pub fn size_or_none(&self, key: &str) -> Result<Option<u64>, String> {
        match self.get(key) {
            (_, None) => Ok(None),
            (_, Some(&Value::Integer(n))) if n >= 0 => Ok(Some(n as u64)),
            // One for each layer: the same for all.
            (_, Some(Value::Integers(all))) if all.first().is_some_and(|&n| n >= 0 && all.iter().all(|&m| m == n)) => {
                Ok(Some(all[0] as u64))
            }
            (key, Some(_)) => Err(format!("`{key}`: expected a whole number")),
        }
    }

    pub fn size(&self, key: &str) -> Result<u64, String> {
        self.size_or_none(key)?.ok_or_else(|| format!("no `{}.{key}`", self.arch))
    }

    pub fn number(&self, key: &str, default: Option<f64>) -> Result<f64, String> {
        match (self.get(key), default) {
            ((_, Some(&Value::Float(x))), _) => Ok(decimal(x as f32)),
            ((_, None), Some(default)) => Ok(default),
            ((_, Some(&Value::Integer(n))), _) => Ok(n as f64),
            ((key, None), None) => Err(format!("no `{key}`")),
            ((key, Some(_)), _) => Err(format!("`{key}`: expected a number")),
        }
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            (_, None) => Ok(default),
            (_, Some(Value::Flag(flag))) => Ok(*flag),
            (key, Some(_)) => Err(format!("`{key}`: expected true or false")),
        }
    }

    /// Size of a head, and the share of it that turns.
    pub fn head(&self, channels: u64, heads: u64) -> Result<(u64, f64), String> {
        let size = match self.size_or_none("attention.key_length")? {
            Some(size) => size,
            None if heads > 0 && channels.is_multiple_of(heads) => channels / heads,
            None => return Err(format!("{channels} channels cannot be divided into {heads} heads")),
        };
        if self.size_or_none("attention.value_length")?.is_some_and(|value| value != size) {
            return Err("values and keys of different sizes are not supported".into());
        }
        let turned = self.size_or_none("rope.dimension_count")?.unwrap_or(size);
        Ok((size, turned as f64 / size as f64))
    }
}
