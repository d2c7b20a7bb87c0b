//! `config.json` of transformers 4 or 5 → [`Config`].
//!
//! Reading is strict: a key that changes the arithmetic in a way that this crate does not compute is
//! refused by name, because a model that runs and is slightly wrong is worse than one that does not load.
use super::keys::{IGNORED, Keys};
use super::{ARCHS, Arch};
use crate::net::config::Config;
use kernels::Heads;
use serde_json::Value;

impl Config {
    /// What a config.json says.
    ///
    /// # Errors
    /// Which key, what was expected, what we do.
    pub fn from_hf(json: &Value) -> Result<Config, String> {
        let keys = Keys::new(json.as_object().ok_or("expected a JSON object")?);
        if let Some(how) = keys.get("quantization_config") {
            let method = how["quant_method"].as_str().map_or(String::new(), |method| format!(" by {method}"));
            return Err(format!(
                "`quantization_config`: the weights are quantised{method}, which is not read; take the model that it was \
                 made from, in bf16 or f32, or a GGUF file of it (Q8_0, Q4_K_M)"
            ));
        }
        let arch = arch(&keys)?;
        let config = (arch.read)(&keys)?;
        let config = Config {
            tied: keys.flag("tie_word_embeddings", arch.tied)?,
            bos: keys.ids("bos_token_id")?.first().copied(),
            eos_ids: keys.ids("eos_token_id")?,
            // we never pad, and some files name one that is not there
            pad: keys.ids("pad_token_id")?.first().copied().filter(|&id| (id as usize) < config.vocab),
            ..config
        };
        keys.refuse_unread(IGNORED)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let Heads { q, kv, .. } = self.heads;
        if q % kv != 0 {
            return Err(format!("{q} query heads cannot share {kv} key/value heads evenly"));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps <= 1.0) {
            return Err(format!("the norm's epsilon is {}: expected a number above 0 and at most 1", self.norm_eps));
        }
        if let Some(id) = self.eos_ids.iter().chain(&self.bos).chain(&self.pad).find(|&&id| id as usize >= self.vocab) {
            return Err(format!("special token {id} is not below vocab_size {}", self.vocab));
        }
        Ok(())
    }
}

fn arch(keys: &Keys) -> Result<&'static Arch, String> {
    let known = ARCHS.iter().map(|arch| arch.name).collect::<Vec<_>>().join(", ");
    match keys.get("model_type").and_then(Value::as_str) {
        Some(name) => {
            let found = ARCHS.iter().find(|arch| arch.name == name);
            found.ok_or(format!("model_type `{name}` is not known; known are {known}"))
        }
        None => Err(format!("no `model_type`; known are {known}")),
    }
}
