//! JSON as rows bring it: keys keep their order, and a key that comes twice is an error.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(Number),
    /// A text.
    String(String),
    /// A list.
    Array(Vec<Json>),
    /// Keys and values.
    Object(Object),
}

/// Keys and values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Object(pub Vec<(String, Json)>);

impl Object {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What a key says, unless that is null.
    pub fn said(&self, key: &str) -> Option<&Json> {
        self.get(key).filter(|value| **value != Json::Null)
    }

    /// Is the key there?
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All keys, in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

impl Json {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self { Some(text) } else { None }
    }

    /// The elements, if it is a list.
    pub fn as_array(&self) -> Option<&[Json]> {
        if let Json::Array(list) = self { Some(list) } else { None }
    }

    /// The keys and values, if it is an object.
    pub fn as_object(&self) -> Option<&Object> {
        if let Json::Object(object) = self { Some(object) } else { None }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        if let Json::Number(number) = self { number.as_f64() } else { None }
    }

    /// Yes or no, which some write as 1 and 0.
    pub fn as_flag(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            Json::Number(_) => {
                [(0.0, false), (1.0, true)].into_iter().find(|(n, _)| self.as_f64() == Some(*n)).map(|(_, b)| b)
            }
            _ => None,
        }
    }

    /// Nothing: null, or a text, list or object with nothing in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Json::Null => true,
            Json::String(text) => text.is_empty(),
            Json::Array(list) => list.is_empty(),
            Json::Object(object) => object.0.is_empty(),
            _ => false,
        }
    }

    /// What it is, in words.
    pub fn name(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "true or false",
            Json::Number(_) => "a number",
            Json::String(_) => "a string",
            Json::Array(_) => "a list",
            Json::Object(_) => "an object",
        }
    }

    /// The same with every text in it, keys too, turned into another.
    pub fn with_texts(&self, change: &impl Fn(&str) -> String) -> Json {
        match self {
            Json::String(text) => Json::String(change(text)),
            Json::Array(list) => Json::Array(list.iter().map(|value| value.with_texts(change)).collect()),
            Json::Object(object) => Json::Object(object.with_texts(change)),
            other => other.clone(),
        }
    }

    /// Every text in it, one a line, to look for something.
    pub fn texts(&self, out: &mut String) {
        match self {
            Json::String(text) => *out += &format!("{text}\n"),
            Json::Array(list) => list.iter().for_each(|value| value.texts(out)),
            Json::Object(object) => object.0.iter().for_each(|(key, value)| {
                *out += &format!("{key}\n");
                value.texts(out);
            }),
            _ => {}
        }
    }
}

impl Object {
    /// The same with every text in it, keys too, turned into another.
    pub fn with_texts(&self, change: &impl Fn(&str) -> String) -> Object {
        Object(self.0.iter().map(|(key, value)| (change(key), value.with_texts(change))).collect())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Json {
        use serde_json::Value;
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Number(number) => Json::Number(number),
            Value::String(text) => Json::String(text),
            Value::Array(list) => Json::Array(list.into_iter().map(Json::from).collect()),
            Value::Object(map) => Json::Object(Object(map.into_iter().map(|(k, v)| (k, v.into())).collect())),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_string()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = vec![];
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let (mut entries, mut seen) = (vec![], HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format_args!("the key {key:?} comes twice")));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Json::Object(Object(entries)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_come_once() {
        let read = |text: &str| serde_json::from_str::<Json>(text);
        let value = read(r#"{"b": [1, -2, 2.5, true, null], "a": {"c": "x"}}"#).unwrap();
        assert_eq!(value.as_object().unwrap().keys().collect::<Vec<_>>(), ["b", "a"]);
        for twice in [r#"{"a":1,"a":1}"#, r#"{"x":[{"a":1,"b":2,"\u0061":3}]}"#] {
            assert!(read(twice).unwrap_err().to_string().contains("the key \"a\" comes twice"));
        }
        let upper = value.with_texts(&|text| text.to_uppercase());
        assert_eq!(
            upper.as_object().unwrap().get("A").unwrap().as_object().unwrap().get("C"),
            Some(&Json::String("X".into()))
        );
    }
}
