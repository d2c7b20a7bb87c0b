//! README.md of an adapter: how PEFT reads it to compute what was trained.

use crate::error::{Failure, Result};
use model::lora::{self, Lora};
use model::{HeadKind, Transformer};
use rlhf_core::data::Codec;
use std::fmt::Write;
use std::path::Path;

/// Writes it. PEFT takes end tokens and padding from the frozen model, which an adapter cannot change.
pub fn write(dir: &Path, net: &Transformer, lora: &Lora, codec: &Codec) -> Result {
    let path = dir.join("README.md");
    std::fs::write(&path, text(net, lora, codec)).map_err(|e| Failure::write(&path, e))
}

/// What to do with an adapter whose model PEFT cannot open.
pub fn hint(net: &Transformer) -> Option<String> {
    let lora = net.lora.as_ref()?;
    let base = lora.base.display();
    lora.base.is_file().then(|| {
        format!(
            "PEFT cannot open {base}, a GGUF file: write the adapter into it with rlhf merge, or rlhf convert it to a \
             directory and name that as base_model_name_or_path in adapter_config.json"
        )
    })
}

fn text(net: &Transformer, lora: &Lora, codec: &Codec) -> String {
    let base = lora::base_name(lora);
    let mut out = format!("---\nlibrary_name: peft\nbase_model: {base:?}\n---\n\n");
    let what = if net.head_kind() == HeadKind::Lm { "A LoRA adapter" } else { "A reward model: a LoRA adapter" };
    let _ = writeln!(out, "{what} of rank {} upon `{base}`.\n", lora.rank);
    if let Some(hint) = hint(net) {
        let _ = writeln!(out, "{hint}.\n");
    }
    out +=
        "PEFT takes end tokens and padding from the frozen model. To compute what was trained, with transformers:\n\n";
    out += "```python\nimport peft, transformers\nfolder = \"this folder\"\n";
    out += "tokenizer = transformers.AutoTokenizer.from_pretrained(folder)\n";
    match net.head_kind() {
        HeadKind::Lm => {
            let _ = write!(
                out,
                "model = transformers.AutoModelForCausalLM.from_pretrained({base:?})\n\
                 model = peft.PeftModel.from_pretrained(model, folder)\n\
                 model.generation_config = transformers.GenerationConfig.from_pretrained(folder)  # ends answers with {:?}\n\
                 ```\n",
                codec.ends
            );
        }
        HeadKind::Score => {
            let ends = codec.scored_at();
            let pad = net.config.pad.map_or("None".to_string(), |pad| pad.to_string());
            let _ = write!(
                out,
                "model = transformers.AutoModelForSequenceClassification.from_pretrained({base:?}, num_labels=1)\n\
                 model.config.pad_token_id = {pad}  # the score is read at the last other token: at the end token, {ends:?}\n\
                 model = peft.PeftModel.from_pretrained(model, folder)\n\
                 ```\n\n\
                 The score is the logit plus `rlhf_reward_bias` of adapter_config.json. With an end token as padding it \
                 would be read one token too early, and pairs may change their order.\n"
            );
        }
    }
    out
}
