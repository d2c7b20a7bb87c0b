//! [`Config`] → `config.json`, with the keys of transformers 4 and of transformers 5, so that both compute the same.
use super::of;
use crate::net::config::{Config, HeadKind};
use serde_json::{Value, json};

impl Config {
    /// The config.json of a model with this head.
    pub fn to_hf(&self, head: HeadKind) -> Value {
        let arch = of(self);
        let mut json = (arch.write)(self);
        json["model_type"] = arch.name.into();
        json["architectures"] = json!([arch.class(head)]);
        if head == HeadKind::Score {
            json["num_labels"] = 1.into();
        }
        json["torch_dtype"] = "float32".into();
        json["dtype"] = "float32".into();
        json["vocab_size"] = self.vocab.into();
        json["tie_word_embeddings"] = self.tied.into();
        json["bos_token_id"] = self.bos.into();
        json["eos_token_id"] = self.eos_to_hf();
        json["pad_token_id"] = self.pad.into();
        json
    }

    /// A number, a list of several, or null.
    pub(crate) fn eos_to_hf(&self) -> Value {
        match self.eos_ids[..] {
            [] => Value::Null,
            [one] => one.into(),
            _ => json!(self.eos_ids),
        }
    }
}
