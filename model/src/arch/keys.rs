//! The keys of a JSON object, read with errors that name them.
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What is added to every score: `transformers` keeps the key and ignores it, its classes have no such bias.
pub const SCORE_BIAS: &str = "rlhf_reward_bias";

/// Keys that do not change what a model computes when it is given tokens: bookkeeping, dropout (ours is the
/// recipe's), how fresh weights are drawn, how text is generated, what other programs remember. All other keys that
/// nobody reads are refused.
pub const IGNORED: &[&str] = &[
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_name_or_path",
    "_num_labels",
    "architectures", // read with the tensors
    "attn_implementation",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "cls_token_id",
    "custom_pipelines",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_range",
    "is_decoder",
    "is_llama_config",
    "keys_to_ignore_at_inference",
    "label2id",
    "length_penalty",
    "mask_token_id",
    "max_length",
    "max_sequence_length",
    "max_window_layers", // of `use_sliding_window`, which is refused
    "min_length",
    "model_max_length",
    "n_ctx",
    "n_special",
    "neftune_noise_alpha",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels", // the score head's shape says it
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "output_scores",
    "pre_quantization_dtype",
    "predict_special_tokens",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "renormalize_logits",
    "reorder_and_upcast_attn",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    SCORE_BIAS,
    "sep_token_id",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
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
        match whole(value) {
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

    /// Another name of a size that has been read: it must say the same.
    pub fn same(&self, key: &str, size: usize) -> Result<(), String> {
        match self.size(key, Some(size))? {
            other if other == size => Ok(()),
            other => Err(format!("`{key}` is {other}, where the same size is {size} under another name")),
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
        let known = |key: &String| read.contains(key) || ignored.contains(&key.as_str()) || is_dropout(key);
        match self.map.iter().find(|(key, value)| !known(key) && !nothing(value)) {
            None => Ok(()),
            Some((key, value)) => {
                Err(format!("`{key}: {value}` is not known, and may change what the model computes; if not, remove it"))
            }
        }
    }
}

/// Dropout is of training, where it is the recipe's.
fn is_dropout(key: &str) -> bool {
    ["_dropout", "_pdrop", "dropout_prob"].iter().any(|end| key.ends_with(end))
}

/// A whole number, be it written as 2048.0.
fn whole(value: &Value) -> Option<u64> {
    let exact = |x: f64| (x.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&x)).then_some(x as u64);
    value.as_u64().or_else(|| exact(value.as_f64()?))
}

/// Token ids as Hugging Face writes them: absent, null, a number, or a list of numbers. -1 is none.
pub(crate) fn ids(value: Option<&Value>) -> Result<Vec<u32>, String> {
    let one = |v: &&Value| {
        let id = whole(v).and_then(|n| u32::try_from(n).ok());
        id.ok_or(format!("expected a token id or a list of them, got {v}"))
    };
    let all: Vec<&Value> = match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(value) => vec![value],
    };
    all.iter().filter(|v| v.as_i64() != Some(-1)).map(one).collect()
}
