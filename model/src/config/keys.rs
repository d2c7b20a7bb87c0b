//! The keys of a JSON object, read with errors that name them.
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Keys that do not change what a model computes when it is given tokens: bookkeeping, dropout (ours is the
/// recipe's), how fresh weights are drawn, how text is generated, what other programs remember. All other keys that
/// nobody reads are refused.
pub const IGNORED: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_name_or_path",
    "architectures", // read by hf.rs
    "attention_dropout",
    "attn_implementation",
    "attn_pdrop",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "classifier_dropout",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "embd_pdrop",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "hidden_dropout",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "max_window_layers", // of `use_sliding_window`, which is refused
    "min_length",
    "model_max_length",
    "n_ctx",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels", // the score head's shape says it
    "num_return_sequences",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "resid_pdrop",
    "return_dict",
    crate::hf::BIAS,
    "sep_token_id",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_cache",
];

/// Sizes above this are mistakes, and products of two of them still fit an integer.
const LARGEST: u64 = u32::MAX as u64 / 4;

/// A key that is null is as one that is absent.
pub struct Keys<'a> {
    map: &'a Map<String, Value>,
    read: RefCell<BTreeSet<String>>,
}

impl<'a> Keys<'a> {
    pub fn new(map: &'a Map<String, Value>) -> Keys<'a> {
        Keys { map, read: RefCell::default() }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.read.borrow_mut().insert(key.to_string());
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Is it there, be it null?
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub fn object(&self, key: &str) -> Result<Option<Keys<'a>>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Keys::new(map))),
            Some(other) => Err(format!("`{key}`: expected an object, got {other}")),
        }
    }

    pub fn size(&self, key: &str, default: Option<usize>) -> Result<usize, String> {
        let Some(value) = self.get(key) else {
            return default.ok_or(format!("no `{key}`: expected a whole number"));
        };
        match value.as_u64() {
            Some(n) if (1..=LARGEST).contains(&n) => Ok(n as usize),
            Some(n) => Err(format!("`{key}`: {n} is no size of a model")),
            None => Err(format!("`{key}`: expected a whole number, got {value}")),
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<f64>, String> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(format!("`{key}`: expected a number, got {value}")),
        }
    }

    pub fn flag(&self, key: &str, default: bool) -> Result<bool, String> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or(format!("`{key}`: expected true or false, got {value}")),
        }
    }

    pub fn ids(&self, key: &str) -> Result<Vec<u32>, String> {
        ids(self.get(key)).map_err(|e| format!("`{key}`: {e}"))
    }

    pub fn refuse_flag(&self, key: &str, value: bool) -> Result<(), String> {
        match self.flag(key, !value)? == value {
            true => Err(format!("`{key}: {value}` is not supported")),
            false => Ok(()),
        }
    }

    /// A key that nobody has read may change what the model computes. One that says "no" or "nothing" does not.
    pub fn refuse_unread(&self, ignored: &[&str]) -> Result<(), String> {
        let nothing = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        let read = self.read.borrow();
        let known = |key: &String| read.contains(key) || ignored.contains(&key.as_str());
        match self.map.iter().find(|(key, value)| !known(key) && !nothing(value)) {
            None => Ok(()),
            Some((key, value)) => {
                Err(format!("`{key}: {value}` is not known, and may change what the model computes; if not, remove it"))
            }
        }
    }
}

/// Token ids as Hugging Face writes them: absent, null, a number, or a list of numbers.
pub(crate) fn ids(value: Option<&Value>) -> Result<Vec<u32>, String> {
    let one = |v: &Value| {
        v.as_u64().and_then(|n| u32::try_from(n).ok()).ok_or(format!("expected a token id or a list of them, got {v}"))
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(value) => Ok(vec![one(value)?]),
    }
}
