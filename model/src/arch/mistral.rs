//! Mistral (Jiang et al. 2023): a Llama whose tokens see through a sliding window.
use super::keys::Keys;
use super::{Arch, Sizes, llama};
use crate::net::config::Config;
use serde_json::Value;

/// Its row of [`ARCHS`](super::ARCHS). In GGUF it is a Llama.
pub const ARCH: Arch = Arch {
    name: "mistral",
    classes: ["MistralForCausalLM", "MistralForSequenceClassification"],
    usual,
    read,
    write,
    ..llama::ARCH
};

fn usual(sizes: Sizes) -> Config {
    Config { arch: "mistral", sliding_window: Some(4096), ..llama::usual(sizes) }
}

fn read(keys: &Keys) -> Result<Config, String> {
    keys.size("num_key_value_heads", None)?;
    let none = keys.has("sliding_window") && keys.get("sliding_window").is_none(); // not as where nothing is said
    let window = if none { None } else { Some(keys.size("sliding_window", Some(4096))?) };
    llama::read_kin(keys, usual, window)
}

fn write(config: &Config) -> Value {
    let mut json = llama::write_kin(config);
    json["sliding_window"] = config.sliding_window.into();
    json
}
